"""``hybridize(backend="inductor")``: a program handed to torch's compiler."""
from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence

import torch

from ..autograd.hand_over import Receive
from ..errors import MXNetError, NotBuiltError
from ..graph import Value
from .hand_over import hand_over_all
from .program import Program

Compiled = Callable[[list[torch.Tensor]], Sequence[torch.Tensor]]


class CompiledProgram:
    """A program compiled by Inductor at its first run on tensors of each kind; the same interface as `Program`.

    It is compiled as one graph, whose inputs are freed as soon as nothing reads them, as a memory plan says; Inductor
    chooses the order of what remains, so the peak is near the plan's and not at it.
    """

    __slots__ = ("_compiled", "_program", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value]):
        program = self._program = Program(outputs, inputs, in_place=False)
        random = [step.node for step in program.steps if step.seed >= 0]
        if random:
            raise NotBuiltError(f"hybridize(backend='inductor'): operators that draw random numbers are not built "
                                f"for it; got {random[0]}; use the default backend for this block")
        self.inputs, self.outputs, self.steps = program.inputs, program.outputs, program.steps
        self._compiled: dict[tuple, Compiled] = {}

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """As `Program.run`; `tensors` is emptied."""
        kind = tuple([(t.shape, t.stride(), t.dtype, t.device) for t in tensors])
        with torch.no_grad():
            if kind not in self._compiled:
                self._compiled[kind] = self._compile(tensors)
            results = self._compiled[kind](tensors)
        tensors.clear()
        return list(results)

    def _compile(self, tensors: list[torch.Tensor]) -> Compiled:
        def straight_line(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self._program.run(list(inputs)))
        try:
            return _whole(straight_line, tensors)
        except (RuntimeError, TypeError, ValueError, NotImplementedError, MXNetError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"hybridize(backend='inductor'): a program is compiled in parts, which is slower and takes "
                          f"more memory, since it cannot be one graph: {said}", stacklevel=2)
            in_parts = torch.compile(straight_line, backend="inductor", dynamic=False)
            return lambda inputs: in_parts(*inputs)

    def run_handing_over(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         receivers: Mapping[int, Receive], points: Sequence[tuple[int, int]]) -> list:
        """As `Program.run_handing_over`, but all at the end: compiled code gives its outputs together."""
        return hand_over_all(self.run(tensors, seeds), receivers)


def _whole(function: Callable, tensors: list[torch.Tensor]) -> Compiled:
    """`function` compiled as one graph for inputs as these; it takes them in a list, which it empties."""
    import torch._inductor  # seconds, and only here
    from torch.fx.experimental.proxy_tensor import make_fx
    flat = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    graph = torch.fx.Graph()
    inputs = graph.placeholder("inputs")
    inputs.meta["steal_arg"] = True   # the compiled code takes the tensors out of the list, and frees them as it goes
    places = [node for node in flat.graph.nodes if node.op == "placeholder"]
    read = {node: graph.call_function(operator.getitem, (inputs, i)) for i, node in enumerate(places)}
    graph.output(graph.graph_copy(flat.graph, read))
    return torch._inductor.compile(torch.fx.GraphModule(flat, graph), [list(tensors)])
