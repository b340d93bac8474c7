"""Initializers against MXNet 1.9.1: which parameters they fill with what, and how wide the random ones spread."""
import pytest

pytestmark = pytest.mark.parity

def rows(text: str) -> list[str]:
    return text.strip().splitlines()


INITIALIZERS = """
mx.init.Zero()
mx.init.One()
mx.init.Constant(0.3)
mx.init.Bilinear()
"""


@pytest.mark.parametrize("row", rows(INITIALIZERS))
@pytest.mark.parametrize("name", ["conv_weight", "conv_bias", "norm_gamma", "norm_beta"])
def test_initializer(row, name, same_as_mxnet):
    same_as_mxnet(f"""
array = mx.nd.full((2, 1, 4, 4), 7)
({row})(mx.init.InitDesc({name!r}), array)
result = array
""")


RANDOM_INITIALIZERS = """
mx.init.Uniform(0.2)
mx.init.Normal(0.3)
mx.init.Xavier()
mx.init.Xavier(rnd_type='gaussian', factor_type='in', magnitude=2)
mx.init.MSRAPrelu()
mx.init.Orthogonal()
"""


@pytest.mark.parametrize("row", rows(RANDOM_INITIALIZERS))
def test_random_initializer_has_the_same_spread(row, same_as_mxnet):
    """Draws differ; their deviation, and for a bounded one the bound, must not."""
    same_as_mxnet(f"""
array = mx.nd.zeros((300, 400))
({row})(mx.init.InitDesc('dense_weight'), array)
draws = array.asnumpy()
result = [draws.std(), np.percentile(np.abs(draws), [25, 50, 75])]
""", tolerance=0.01)
