"""AdamW's updates in mx.nd.contrib, against MXNet 1.9.1."""
import numpy as np
import pytest

import mxdl as mx

SOURCE = """
w, g, m, v = (mx.nd.array(x) for x in arrays)
mx.nd.contrib.adamw_update(w, g, m, v, rescale_grad, lr=0.1, eta=0.5, wd=0.01, out=w)
result = [w, m, v]
"""


def arrays(seed=0):
    return [np.random.default_rng(seed + i).uniform(0.1, 1, (2, 3)).astype("float32") for i in range(4)]


@pytest.mark.parity
@pytest.mark.parametrize("rescale_grad", [0.5, float("inf"), 0.0])
def test_adamw_update_equals_mxnets(mxnet, rescale_grad):
    theirs = mxnet.run(SOURCE, arrays=arrays(), rescale_grad=rescale_grad)
    w, g, m, v = map(mx.nd.array, arrays())
    mx.nd.contrib.adamw_update(w, g, m, v, rescale_grad, lr=0.1, eta=0.5, wd=0.01, out=w)
    for ours, other in zip((w, m, v), theirs, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), other, rtol=1e-4)


def test_several_weights_and_float32_copies():
    one, two = [list(map(mx.nd.array, arrays(seed))) for seed in (0, 10)]
    expected = [mx.nd.contrib.adamw_update(w, g, m.copy(), v.copy(), mx.nd.array([0.5]), lr=0.1, eta=1.0)
                for w, g, m, v in (one, two)]
    columns = list(zip(one, two, strict=True))
    low = [w.astype("float16") for w in columns[0]]
    copies = [[array.copy() for array in column] for column in (*columns[2:], columns[0])]
    mx.nd.contrib.multi_mp_adamw_update(low, [g.astype("float16") for g in columns[1]], *copies, 0.5, [0.1] * 2,
                                        [0.0] * 2, [1.0] * 2, out=low)
    mx.nd.contrib.multi_adamw_update(columns[0], columns[1], columns[2], columns[3], 0.5, [0.1] * 2, [0.0] * 2,
                                     [1.0] * 2, out=columns[0])
    for weight, copy, half, wanted in zip(columns[0], copies[2], low, expected, strict=True):
        np.testing.assert_allclose(weight.asnumpy(), wanted.asnumpy(), rtol=1e-6)
        np.testing.assert_allclose(copy.asnumpy(), wanted.asnumpy(), rtol=1e-3)
        np.testing.assert_allclose(half.asnumpy(), copy.asnumpy(), rtol=1e-3)
