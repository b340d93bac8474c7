"""Output layers give the gradient of their loss, whatever comes from above; and what MXNet does wrongly there."""
import pytest
import torch

from mxdl.ops import get
from mxdl.ops.operator import GradientCall


def gradient(op, data, label, dout=None, **attrs):
    out = op.bind(attrs)(data, label)
    dout = torch.full_like(out, 7.0) if dout is None else dout
    call = GradientCall((data, label), (out,), (dout,), (True, False), {**op.filled(attrs), "training": True})
    return op.gradient_rule(call)[0]


def by_tape(loss, data):
    leaf = data.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(leaf), leaf)
    return grad


@pytest.mark.parametrize("smooth", [0.0, 0.2])
def test_softmax_output_is_cross_entropy(smooth):
    data, label = torch.randn(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    target = torch.nn.functional.one_hot(label, 4) * (1 - smooth)
    target = torch.where(target > 0, target, smooth / 3)
    expected = by_tape(lambda x: -(target * x.log_softmax(1)).sum(), data)
    torch.testing.assert_close(gradient(get("SoftmaxOutput"), data, label.float(), smooth_alpha=smooth), expected)


@pytest.mark.parametrize("normalization, count", [("null", 1), ("batch", 6), ("valid", 4)])
def test_normalizations_and_labels_left_out(normalization, count):
    data, label = torch.randn(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    expected = by_tape(lambda x: torch.nn.functional.cross_entropy(x, label, ignore_index=1, reduction="sum"), data)
    found = gradient(get("SoftmaxOutput"), data, label.float(), use_ignore=True, ignore_label=1.0,
                     normalization=normalization)
    torch.testing.assert_close(found, expected / count)


def test_out_grad_multiplies_by_the_incoming_gradient():
    data, label, dout = torch.randn(5, 3), torch.tensor([0.0, 1, 2, 0, 1]), torch.rand(5, 3)
    plain = gradient(get("SoftmaxOutput"), data, label)
    torch.testing.assert_close(gradient(get("SoftmaxOutput"), data, label, dout, out_grad=True), plain * dout)


@pytest.mark.parametrize("name, loss", [
    ("LinearRegressionOutput", lambda x, y: ((x - y) ** 2).sum() / 2),
    ("MAERegressionOutput", lambda x, y: (x - y).abs().sum()),
    ("LogisticRegressionOutput",
     lambda x, y: torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="sum"))])
def test_regression_layers(name, loss):
    data, label = torch.randn(5, 3), torch.rand(5, 3)
    expected = by_tape(lambda x: loss(x, label), data) / 3
    torch.testing.assert_close(gradient(get(name), data, label), expected)


@pytest.mark.parametrize("linear", [True, False])
def test_svm_output_is_the_hinge(linear):
    data, label = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    sign = 2.0 * torch.nn.functional.one_hot(label, 3) - 1
    power = 1 if linear else 2
    expected = by_tape(lambda x: ((1 - sign * x).clamp(min=0) ** power).sum(), data)
    torch.testing.assert_close(gradient(get("SVMOutput"), data, label.float(), use_linear=linear), expected)


def test_softmax_of_lengths_and_dtype():
    data, length = torch.randn(2, 4, 3).half(), torch.tensor([[3, 1, 2], [0, 4, 1]])
    out = get("softmax").bind({"use_length": True, "axis": 1, "dtype": "float64"})(data, length)
    assert out.dtype is torch.float64
    torch.testing.assert_close(out.sum(1), (length > 0).double())
    torch.testing.assert_close(out[0, :3, 0], data[0, :3, 0].double().softmax(0))
