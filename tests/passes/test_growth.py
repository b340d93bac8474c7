"""How the peak grows with depth, up to 4096 layers, and that the test of the zoo's bits means the whole zoo."""
import math

import pytest

from mxdl.gluon.model_zoo import vision
from tests.passes.test_mirror import exponent, peaks
from tests.passes.test_mirror_zoo import MODELS

UNIT = 256 * 64 * 4   # bytes of one layer's output


@pytest.mark.slow
def test_sqrt_grows_as_the_root_up_to_four_thousand_layers():
    found = {n: o.curve.activation_peak for n, o in peaks((16, 64, 256, 1024, 4096), "sqrt").items()}
    assert exponent(found) <= 0.55, found


@pytest.mark.slow
def test_nested_segments_take_less_than_two_layers_for_each_doubling():
    found = {n: o.curve.activation_peak / UNIT for n, o in peaks((256, 1024, 4096), "min", max_recompute=12).items()}
    assert all(units <= 2 * math.log2(n) for n, units in found.items()), found


@pytest.mark.slow
def test_the_whole_zoo_is_covered():
    """34 models; among those with BatchNorm and those with dropout there are many."""
    assert len(MODELS) == len(set(MODELS)) == 34
    kinds = {name: {type(block).__name__ for block in _blocks(vision.get_model(name, classes=7))} for name in MODELS}
    assert sum("BatchNorm" in found for found in kinds.values()) >= 20
    assert sum("Dropout" in found for found in kinds.values()) >= 10


def _blocks(block):
    return [block, *(inner for child in block._children.values() for inner in _blocks(child))]
