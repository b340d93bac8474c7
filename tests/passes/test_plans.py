"""Plans: whatever the passes do, outputs and gradients are those of torch autograd over the plain graph."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.executor.program import Program
from mxdl.graph import Graph, Node, Value, apply, variable
from mxdl.graph.verify import verify
from mxdl.ops import get
from mxdl.ops.generic_gradient import vjp_operator
from mxdl.passes.infer_types import infer_types
from mxdl.passes.merge import merge
from mxdl.passes.pipeline import inference_plan, training_plan
from mxdl.passes.plan import Plan
from mxdl.types import TensorType
from tests.passes.random_graphs import WIDTH, graphs


def types_of(graph: Graph) -> dict[str, TensorType]:
    types = infer_types(graph, {"x": TensorType((3, WIDTH))})
    return {n.name: types[Value(n, 0)] for n in graph.inputs}


def tensors_of(graph: Graph) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(t.shape, generator=generator) for t in types_of(graph).values()]


def reference(graph: Graph, tensors: list[torch.Tensor]):
    """Outputs and gradients by torch's own tape over the graph as it was written."""
    leaves = [t.clone().requires_grad_() for t in tensors]
    outputs = Program(graph.outputs, [Value(n, 0) for n in graph.inputs], in_place=False).run(list(leaves))
    reached = [o for o in outputs if o.requires_grad]
    if not reached:
        return outputs, [torch.zeros_like(x) for x in leaves]
    grads = torch.autograd.grad([o.sum() for o in reached], leaves, allow_unused=True)
    return outputs, [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)]


def run_plan(graph: Graph, tensors: list[torch.Tensor], mode: object, plan: Plan | None = None):
    plan = plan or training_plan(graph, True, graph.inputs, mode, types_of(graph))
    inputs = [Value(n, 0) for n in plan.inputs]
    results = Program([*plan.outputs, *plan.updates, *plan.saved], inputs).run(list(tensors), range(plan.num_seeds))
    outputs, saved = results[:len(plan.outputs)], results[len(plan.outputs) + len(plan.updates):]
    backward = Program([g for g in plan.grads if g is not None], [*plan.heads, *plan.saved, *inputs])
    grads = iter(backward.run([*(torch.ones_like(o) for o in outputs), *saved, *tensors], range(plan.num_seeds)))
    return outputs, [torch.zeros_like(t) if g is None else next(grads)
                     for g, t in zip(plan.grads, tensors, strict=True)], plan


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_gradients_are_those_of_torch_autograd(graph):
    tensors = tensors_of(graph)
    outputs, grads = reference(graph, tensors)
    mine, my_grads, _ = run_plan(graph, tensors, False)
    for a, b in zip(outputs, mine, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(grads, my_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([True, "sqrt", "min"]))
def test_mirroring_changes_no_bit(graph, mode):
    tensors = tensors_of(graph)
    outputs, grads, _ = run_plan(graph, tensors, False)
    mirrored, mirrored_grads, _ = run_plan(graph, tensors, mode)
    assert all(torch.equal(a, b) for a, b in zip([*outputs, *grads], [*mirrored, *mirrored_grads], strict=True))


def chain(length: int) -> Graph:
    h = variable("x")
    for i in range(length):
        h = apply(get("FullyConnected"), [h, variable(f"w{i}")], {"num_hidden": WIDTH, "no_bias": True}, f"fc{i}")
        h = apply(get("tanh"), [h], {}, f"t{i}")
    return Graph([h])


def test_sqrt_mirroring_saves_a_sublinear_number_of_values():
    saved = {n: saved_values(chain(n), "sqrt") for n in (16, 64, 256, 1024)}
    for n, values in saved.items():
        assert values <= 2.5 * n ** 0.5, saved
    assert saved_values(chain(1024), False) >= 1024


def saved_values(graph: Graph, mode: object) -> int:
    return len(training_plan(graph, True, graph.inputs, mode, types_of(graph)).saved)


def test_a_clone_runs_just_before_it_is_needed():
    """Recomputed values must not all be made at the start of the backward pass."""
    graph = chain(100)
    plan = training_plan(graph, True, graph.inputs, "sqrt", types_of(graph))
    steps = Program([g for g in plan.grads if g is not None],
                    [*plan.heads, *plan.saved, *(Value(n, 0) for n in plan.inputs)]).steps
    clones = [i for i, step in enumerate(steps) if step.node.serial is None]
    assert len(clones) >= 100
    early = [i for i in clones if i < len(steps) / 4]
    assert len(early) < len(clones) / 2 and clones[-1] > len(steps) * 0.8


def test_merge_joins_equal_nodes_and_keeps_random_ones_apart():
    x = variable("x")
    a, b = (apply(get("tanh"), [x], {}, name) for name in "ab")
    graph = merge(Graph([apply(get("elemwise_add"), [a, b], {}, "sum")]))
    assert [n.op.name for n in graph.nodes if n.op] == ["tanh", "elemwise_add"]
    verify(graph)


def test_a_variable_that_no_gradient_reaches_has_none():
    x, w = variable("x"), variable("w")
    graph = Graph([apply(get("BlockGrad"), [apply(get("elemwise_mul"), [x, w], {}, "p")], {}, "stop")])
    plan = training_plan(graph, True, graph.inputs)
    assert plan.grads == (None, None) and plan.saved == ()


def test_composed_symbols_run_in_topological_order():
    """A node may read one that was created after it: the running order is made anew."""
    x = variable("x")
    late = Node(get("tanh"), "late", inputs=[x])
    early = Node(get("negative"), "early", inputs=[Value(late, 0)])
    early.serial, late.serial = 1, 2
    plan = inference_plan(Graph([Value(early, 0)]), training=False)
    result = Program(plan.outputs, [Value(n, 0) for n in plan.inputs]).run([torch.ones(2)])
    torch.testing.assert_close(result[0], -torch.tanh(torch.ones(2)))


def test_wrong_parameter_shape_names_node_and_shapes():
    graph = chain(2)
    with pytest.raises(Exception, match=r"fc1.*weight has the wrong shape.*w1=float32\[5, 5\].*\(4, 4\)"):
        infer_types(graph, {"x": TensorType((3, WIDTH)), "w1": TensorType((5, 5))})


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_writing_in_place_changes_no_bit_and_no_input(graph):
    tensors = tensors_of(graph)
    before = [t.clone() for t in tensors]
    inputs = [Value(n, 0) for n in graph.inputs]
    plain = Program(graph.outputs, inputs, in_place=False).run(list(tensors))
    overwriting = Program(graph.outputs, inputs).run(list(tensors))
    assert all(torch.equal(a, b) for a, b in zip([*plain, *before], [*overwriting, *tensors], strict=True))


def test_generic_gradients_own_their_memory():
    """torch hands dout itself through an addition, twice: a program that writes over one must not change the other."""
    a, b, dout = torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3)
    for name in ("elemwise_add", "sum"):
        op = get(name)
        inputs = [a, b][:len(op.parameters)]
        given = dout if name == "elemwise_add" else torch.ones(1)
        grads = vjp_operator(op)(*inputs, given, needs=(True,) * len(inputs), given=(True,))
        grads = grads if type(grads) is tuple else (grads,)
        places = [t.untyped_storage().data_ptr() for t in (*inputs, given, *grads)]
        assert len(set(places)) == len(places)
        assert 0 not in grads[0].stride()
    assert vjp_operator(get("relu")).in_place_kernel is None
