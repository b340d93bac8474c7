"""BatchNorm's states and modes, and what float16 data does."""
import pytest
import torch

from mxdl.ops import get

batch_norm = get("BatchNorm")
SHAPE, CHANNELS = (6, 3, 4, 2), 3


def states(dtype=torch.float32):
    return [torch.rand(CHANNELS, dtype=dtype) + 0.5 for _ in range(4)]


def run(x, gamma, beta, mean, var, training=True, **attrs):
    return batch_norm.bind({"fix_gamma": False, **attrs})(x, gamma, beta, mean, var, training=training)


def test_running_statistics_mix_in_the_biased_variance():
    x, (gamma, beta, mean, var) = torch.randn(SHAPE), states()
    out, batch_mean, inverse, new_mean, new_var = run(x, gamma, beta, mean, var, momentum=0.8, eps=1e-5)
    true_mean, true_var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(batch_mean, true_mean)
    torch.testing.assert_close(inverse, (true_var + 1e-5).rsqrt())
    torch.testing.assert_close(new_mean, 0.8 * mean + 0.2 * true_mean)
    torch.testing.assert_close(new_var, 0.8 * var + 0.2 * true_var)
    expected = torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    torch.testing.assert_close(out, expected)


def test_one_element_a_channel_has_no_variance():
    x, given = torch.randn(1, CHANNELS), states()
    out, _, _, _, new_var = run(x, *given, momentum=0.9)
    torch.testing.assert_close(new_var, 0.9 * given[3])
    torch.testing.assert_close(out[0], given[1])


@pytest.mark.parametrize("attrs", [{"training": False}, {"use_global_stats": True}])
def test_states_stay_where_they_are_only_read(attrs):
    given = states()
    out, _, _, mean, var = run(torch.randn(SHAPE), *given, **attrs)
    assert mean is given[2]
    assert var is given[3]
    assert out.shape == SHAPE


def test_fixed_gamma_counts_as_one_and_has_no_gradient():
    x, given = torch.randn(SHAPE), states()
    given[0].requires_grad_()
    out = run(x, *given, fix_gamma=True)[0]
    torch.testing.assert_close(out, run(x, torch.ones(CHANNELS), *given[1:])[0])
    assert not out.requires_grad


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_axis(axis):
    x, given = torch.randn(4, 3, 3, 3), states()
    moved = run(x.movedim(axis, 1), *given)[0].movedim(1, axis)
    torch.testing.assert_close(run(x, *given, axis=axis)[0], moved)


def test_half_precision_data_keeps_full_precision_states():
    x, given = torch.randn(SHAPE), states()
    half = run(x.half(), *given)
    assert [part.dtype for part in half] == [torch.float16, *[torch.float32] * 4]
    torch.testing.assert_close(half[0].float(), run(x, *given)[0], atol=3e-3, rtol=3e-3)


def test_channels_last_memory_stays():
    x = torch.randn(SHAPE).contiguous(memory_format=torch.channels_last)
    assert run(x, *states())[0].is_contiguous(memory_format=torch.channels_last)


def test_shapes_of_parameters():
    shapes = batch_norm.complete_rule({"data": (2, 5, 7)}, **batch_norm.filled({"axis": -1}))
    assert shapes == dict.fromkeys(("gamma", "beta", "moving_mean", "moving_var"), (7,))
