"""Aggregation in place: parts of a gradient are added where they are computed, with the bits of product and sum."""
import pytest
import torch

from mxdl.executor.memory import track
from mxdl.executor.program import Program
from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.ops.accumulating import accumulating
from mxdl.passes import pipeline
from mxdl.passes.accumulate import accumulate
from mxdl.passes.pipeline import training_plan

BATCH, WIDTH, STEPS = 4, 48, 6
PRODUCTS = {"FullyConnected": {"num_hidden": WIDTH, "no_bias": True}, "dot": {},
            "dot transposed": {"transpose_b": True}}


def recurrent(product: str) -> Graph:
    """One weight that is used at every step."""
    h, w = variable("x"), variable("w")
    for i in range(STEPS):
        h = apply(get("tanh"), [apply(get(product.split()[0]), [h, w], PRODUCTS[product], f"p{i}")], {}, f"t{i}")
    return Graph([h])


def without_pass(monkeypatch):
    monkeypatch.setattr(pipeline, "JOINT_PASSES", tuple(p for p in pipeline.JOINT_PASSES if p is not accumulate))


def tensors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator) * 0.2 for s in ((BATCH, WIDTH), (WIDTH, WIDTH))]


def gradients(graph: Graph) -> list[torch.Tensor]:
    plan = training_plan(graph, True, graph.inputs)
    inputs = [Value(n, 0) for n in plan.inputs]
    results = Program([*plan.outputs, *plan.saved], inputs).run(tensors())
    backward = Program([g for g in plan.grads if g is not None], [*plan.heads, *plan.saved, *inputs])
    return backward.run([torch.ones_like(results[0]), *results[1:], *tensors()])


@pytest.mark.parametrize("product", PRODUCTS)
def test_same_bits_as_product_and_sum(product, monkeypatch):
    mine = gradients(recurrent(product))
    without_pass(monkeypatch)
    for a, b in zip(mine, gradients(recurrent(product)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_part_lives_beside_the_sum(product, monkeypatch):
    def peak() -> int:
        with track() as usage:
            gradients(recurrent(product))
        return usage.allocated
    weight = 4 * WIDTH * WIDTH
    mine = peak()
    without_pass(monkeypatch)
    assert peak() - mine == (STEPS - 1) * weight


def test_a_sum_that_is_read_elsewhere_or_made_later_is_left_alone():
    w, x = variable("w"), variable("x")
    product = apply(get("_backward_dot_rhs"), [x, w, w], {}, "part")
    total = apply(get("tanh"), [w], {}, "total")
    late = Graph([apply(get("elemwise_add"), [total, product], {}, "sum")])
    assert [n.op.name for n in accumulate(late).nodes if n.op] == ["tanh", "_backward_dot_rhs", "elemwise_add"]
    first = apply(get("tanh"), [w], {}, "first")
    product = apply(get("_backward_dot_rhs"), [x, w, w], {}, "part")
    both = apply(get("elemwise_add"), [first, product], {}, "sum")
    assert any(n.op is get("elemwise_add") for n in accumulate(Graph([both, product])).nodes)
    assert not any(n.op is get("elemwise_add") for n in accumulate(Graph([both])).nodes if n.op)


def test_the_pure_kernel_changes_no_input():
    op = accumulating(get("_backward_dot_rhs"))
    total, dout, lhs = torch.ones(3, 2), torch.ones(4, 2), torch.ones(4, 3)
    result = op.kernel(total, dout, lhs, total)
    assert torch.equal(result, torch.full((3, 2), 5.0)) and torch.equal(total, torch.ones(3, 2))
    assert op.in_place_kernel(total, dout, lhs, result).data_ptr() == total.data_ptr()


def test_gradients_of_shared_weights_are_those_of_torch():
    graph = recurrent("FullyConnected")
    x, w = tensors()
    leaves = [x.clone().requires_grad_(), w.clone().requires_grad_()]
    h = leaves[0]
    for _ in range(STEPS):
        h = torch.tanh(torch.nn.functional.linear(h, leaves[1]))
    h.sum().backward()
    for a, b in zip(gradients(graph), leaves, strict=True):
        torch.testing.assert_close(a, b.grad)
