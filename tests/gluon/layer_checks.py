"""What holds for every layer: one check that all layer tests call."""
from __future__ import annotations

import numpy as np

import mxdl as mx
from mxdl import autograd, nd


def pattern(shape, shift=0.0):
    """Numbers in (-1, 1) without ties."""
    return nd.array(np.sin(np.arange(int(np.prod(shape))) * 0.7 + shift).reshape(shape))


def leaves(value):
    return [x for item in value for x in leaves(item)] if isinstance(value, (list, tuple)) else [value]


def train(net, inputs):
    """Outputs and states after one training pass, and gradients of inputs and parameters, as NumPy arrays."""
    mx.random.seed(11)
    for x in inputs:
        x.attach_grad()
    with autograd.record():
        outs = leaves(net(*inputs))
        total = sum((out * pattern(out.shape, 0.3)).sum() for out in outs)
    total.backward()
    params = net.collect_params().values()
    return ([x.asnumpy() for x in (*outs, *(p.data() for p in params if p.grad_req == "null"))],
            [x.asnumpy() for x in (*(x.grad for x in inputs), *(p.grad() for p in params if p.grad_req != "null"))])


def same(ours, theirs):
    """What `train` gave twice: results are the same bits, gradients agree to rounding (hybridized, they are the
    operators' explicit rules)."""
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def check_layer(make, *shapes, folder=None):
    """The layer of `make()` on inputs of `shapes`: hybridized it gives the same bits, in training and prediction, as
    before; saved and loaded by another layer, the same bits.  Returns outputs.
    """
    inputs = [pattern(shape, i) for i, shape in enumerate(shapes)]
    eager = make()
    eager.initialize(mx.init.Uniform(0.5))
    first = [x.asnumpy() for x in leaves(eager(*inputs))]
    hybrid = make()
    hybrid.initialize()
    hybrid.infer_shape(*inputs)
    for ours, theirs in zip(hybrid.collect_params().values(), eager.collect_params().values(), strict=True):
        ours.set_data(theirs.data())
        ours._finish_deferred_init()
    hybrid.hybridize()
    same(train(eager, inputs), train(hybrid, inputs))
    predicted = [x.asnumpy() for x in leaves(eager(*inputs))]
    for ours, theirs in zip(leaves(hybrid(*inputs)), predicted, strict=True):
        np.testing.assert_array_equal(ours.asnumpy(), theirs)
    if folder is not None:
        eager.save_parameters(str(folder / "p"))
        loaded = make()
        loaded.load_parameters(str(folder / "p"))
        for ours, theirs in zip(leaves(loaded(*inputs)), predicted, strict=True):
            np.testing.assert_array_equal(ours.asnumpy(), theirs)
    return first
