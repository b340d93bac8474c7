"""BatchNorm's states and modes, and what float16 data does."""
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

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


def ordered(x, order):
    """x in another memory order: with its channels last, or with gaps."""
    if order == "last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return torch.cat([x, x], -1)[..., ::2] if order == "gaps" else x


NAMES = ("BatchNorm", "_contrib_SyncBatchNorm", "_contrib_BatchNormWithReLU")
TYPES = ((torch.float32,) * 2, (torch.float64,) * 2, (torch.float16, torch.float32), (torch.bfloat16, torch.float32),
         (torch.bfloat16,) * 2, (torch.float16,) * 2)


@settings(max_examples=150, deadline=None)
@drawn(name=st.sampled_from(NAMES), types=st.sampled_from(TYPES), order=st.sampled_from(["first", "last", "gaps"]),
       shape=st.lists(st.integers(1, 9), min_size=2, max_size=5), channels=st.sampled_from([1, 3, 8, 33]),
       axis=st.sampled_from([1, -1]), fix_gamma=st.booleans(), eps=st.sampled_from([1e-3, 1e-5]),
       shift=st.sampled_from([0, 100]), seed=st.integers(0, 1000))
def test_made_again_by_its_statistics_it_has_the_same_bits(name, types, order, shape, channels, axis, fix_gamma, eps,
                                                           shift, seed):
    torch.manual_seed(seed)
    shape[axis] = channels
    x = ordered((torch.randn(shape) * 3 + shift).to(types[0]), order)
    inputs = [x, *(torch.rand(channels).to(types[1]) + 0.5 for _ in range(4))]
    op = get(name)
    attrs = {"training": True, "fix_gamma": fix_gamma, "eps": eps, "axis": axis}
    outputs = op.kernel(*inputs, **attrs)
    again, given, rest = op.again_rule(inputs, outputs, op.filled(attrs))
    found = again.kernel(*given, **rest)
    assert found.dtype == outputs[0].dtype
    assert torch.equal(*(out.flatten().clone().view(torch.uint8) for out in (found, outputs[0])))
    assert all(length == 1 or one == other for length, one, other in
               zip(shape, found.stride(), outputs[0].stride(), strict=True))


@pytest.mark.parametrize("attrs", [{"training": False}, {"training": True, "use_global_stats": True}])
def test_without_statistics_of_its_own_it_is_made_again_as_it_is(attrs):
    op = get("BatchNorm")
    assert op.again_rule([None] * 5, [None] * 5, op.filled(attrs)) is None


def test_it_is_made_again_by_its_statistics_alone(monkeypatch):
    """Where memory has no gaps, nothing goes over the data to take statistics."""
    modes = []
    plain = torch.native_batch_norm
    monkeypatch.setattr(torch, "native_batch_norm", lambda *args: modes.append(args[5]) or plain(*args))
    x, given = torch.randn(SHAPE), states()
    get("_again_BatchNorm").kernel(x, *given, fix_gamma=False)
    get("_again_BatchNorm").kernel(x.contiguous(memory_format=torch.channels_last), *given, fix_gamma=False)
    get("_again_BatchNorm").kernel(x.movedim(1, 2).contiguous().movedim(2, 1), *given, fix_gamma=False)
    assert modes == [False, False, True]
