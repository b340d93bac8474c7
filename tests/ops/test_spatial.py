"""Convolution, Deconvolution and Pooling: layouts, memory formats, and windows at the edges."""
import pytest
import torch

from mxdl.errors import AttributeValueError, ShapeError
from mxdl.ops import get
from mxdl.ops.operator import GradientCall

convolution, deconvolution, pooling = get("Convolution"), get("Deconvolution"), get("Pooling")
CASES = [
    (convolution, [(2, 4, 7, 6), (6, 2, 3, 2), (6,)],
     {"kernel": (3, 2), "num_filter": 6, "num_group": 2, "stride": (2, 1), "pad": (1, 0)}),
    (convolution, [(2, 5, 16, 9), (6, 5, 1, 1), (6,)], {"kernel": (1, 1), "num_filter": 6}),   # a matrix product
    (deconvolution, [(2, 4, 5, 6), (4, 3, 3, 2), (3,)],
     {"kernel": (3, 2), "num_filter": 3, "stride": (2, 1), "adj": (1, 0), "no_bias": False}),
    (pooling, [(2, 3, 7, 6)], {"kernel": (3, 2), "stride": (2, 2), "pad": (1, 0), "pool_type": "max"}),
    (pooling, [(2, 3, 7, 6)], {"kernel": (3, 2), "stride": (2, 2), "pool_type": "avg", "pooling_convention": "full"}),
    (pooling, [(2, 3, 7, 6)], {"global_pool": True, "pool_type": "avg"}),
]
by_name = pytest.mark.parametrize("op, shapes, attrs", CASES, ids=lambda x: getattr(x, "name", ""))


def results(op, inputs, attrs):
    """The output, and the gradients by the explicit rule."""
    with torch.no_grad():
        outputs = op.bind(attrs)(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        dout = torch.linspace(0.5, 1.5, outputs[0].numel()).reshape(outputs[0].shape)
        if inputs[0].is_contiguous(memory_format=torch.channels_last):
            dout = dout.contiguous(memory_format=torch.channels_last)
        call = GradientCall(tuple(inputs), outputs, (dout, *[None] * (len(outputs) - 1)), (True,) * len(inputs),
                            op.filled(attrs))
        return outputs[0], op.gradient_rule(call)


@by_name
def test_channels_last_memory_gives_the_same_in_channels_last_memory(op, shapes, attrs):
    inputs = [torch.randn(shape) for shape in shapes]
    out, grads = results(op, inputs, attrs)
    moved = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs]
    out_last, grads_last = results(op, moved, attrs)
    torch.testing.assert_close(out_last, out)
    torch.testing.assert_close(list(grads_last), list(grads), atol=1e-4, rtol=1e-4)
    assert out_last.is_contiguous(memory_format=torch.channels_last)
    assert grads_last[0].is_contiguous(memory_format=torch.channels_last)


@by_name
def test_layout_with_the_channels_at_the_end(op, shapes, attrs):
    inputs = [torch.randn(shape) for shape in shapes]
    turned = [x.movedim(1, -1).contiguous() if x.dim() == 4 else x for x in inputs]
    out = op.bind({**attrs, "layout": "NHWC"})(*turned)
    expected = op.bind(attrs)(*inputs)
    for a, b in zip(out if isinstance(out, tuple) else (out,),
                    expected if isinstance(expected, tuple) else (expected,), strict=True):
        torch.testing.assert_close(a.movedim(-1, 1), b)


@pytest.mark.parametrize("layout", [None, "NHWC"])
@pytest.mark.parametrize("op", [convolution, deconvolution], ids=lambda op: op.name)
def test_parameters_follow_from_the_data(op, layout):
    attrs = {"kernel": (3, 2), "num_filter": 6, "num_group": 2, "no_bias": False, "layout": layout}
    data = (2, 5, 6, 4) if layout else (2, 4, 5, 6)
    shapes = op.complete_rule({"data": data}, **op.filled(attrs))
    out = op.bind(attrs)(torch.randn(data), torch.randn(shapes["weight"]), torch.randn(shapes["bias"]))
    assert 6 in out.shape


def test_target_shape_is_met():
    data, weight = torch.randn(1, 3, 4, 4), torch.randn(3, 2, 4, 4)
    attrs = {"kernel": (4, 4), "num_filter": 2, "stride": (2, 2)}
    for target in [(8, 8), (7, 9), (10, 5)]:
        assert deconvolution.bind({**attrs, "target_shape": target})(data, weight).shape[2:] == target
    with pytest.raises(ShapeError, match="at most 10"):
        deconvolution.bind({**attrs, "target_shape": (11, 8)})(data, weight)


@pytest.mark.parametrize("convention, lengths", [("valid", [3, 3]), ("full", [4, 3]), ("same", [4, 4])])
def test_conventions(convention, lengths):
    attrs = {"kernel": (2, 3), "stride": (2, 2), "pooling_convention": convention}
    assert list(pooling.bind(attrs)(torch.randn(1, 1, 7, 7))[0].shape[2:]) == lengths


@pytest.mark.parametrize("pool_type", ["max", "avg", "sum"])
@pytest.mark.parametrize("pad, convention", [((1, 1), "valid"), ((2, 2), "full"), ((0, 0), "full"), ((0, 0), "same")])
def test_windows_by_hand(pool_type, pad, convention):
    """Against windows cut out one by one; means count the padding, as far as the padded data reaches."""
    x = torch.randn(1, 1, 6, 6)
    attrs = {"kernel": (3, 3), "stride": (2, 2), "pad": pad, "pooling_convention": convention, "pool_type": pool_type}
    out = pooling.bind(attrs)(x)
    out = out[0] if isinstance(out, tuple) else out
    left = pad[0] if convention != "same" else 0
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            rows, columns = (slice(max(2 * k - left, 0), max(2 * k - left + 3, 0)) for k in (i, j))
            window = x[0, 0, rows, columns]
            if not window.numel():
                continue
            count = 1
            for k in (i, j):
                count *= min(2 * k - left + 3, 6 + left) - (2 * k - left)
            expected = {"max": window.max(), "sum": window.sum(), "avg": window.sum() / count}[pool_type]
            torch.testing.assert_close(out[0, 0, i, j], expected)


@pytest.mark.parametrize("attrs, text", [
    ({"kernel": (2,)}, "2 axes"), ({"kernel": (9, 9)}, "longer"), ({"kernel": (2, 2), "pool_type": "lp"}, "p_value")])
def test_errors_say_what_to_give(attrs, text):
    with pytest.raises(AttributeValueError, match=text):
        pooling.bind(attrs)(torch.randn(1, 1, 5, 5))


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("batch", [1, 4], ids=["few rows", "many rows"])
def test_filters_of_one_point_are_products_with_the_same_values_and_the_tape_s_bits(batch, channels):
    data = torch.randn(batch, channels, 9, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = torch.randn(6, channels, 1, 1, requires_grad=True), torch.randn(6, requires_grad=True)
    inputs, attrs = (data, weight, bias), {"kernel": (1, 1), "num_filter": 6}
    out = convolution.bind(attrs)(*inputs)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, torch.conv2d(*inputs))
    dout = torch.randn_like(out)
    call = GradientCall(tuple(x.detach() for x in inputs), (out.detach(),), (dout,), (True,) * 3,
                        convolution.filled(attrs))
    for ours, theirs in zip(convolution.gradient_rule(call), torch.autograd.grad(out, inputs, dout), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_gradient_of_log_softmax_writes_over_its_input_in_any_memory_layout():
    gradient = get("_backward_log_softmax")
    for axis in (0, 1, 2):
        for turned in (False, True):
            out, dout = torch.log_softmax(torch.randn(4, 5, 6), axis), torch.randn(4, 5, 6)
            if turned:
                dout = dout.transpose(0, 2).contiguous().transpose(0, 2)
            expected = gradient.kernel(dout, out, axis=axis)
            torch.testing.assert_close(gradient.in_place_kernel(dout, out, axis=axis), expected, rtol=0, atol=0)
