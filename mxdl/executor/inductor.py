"""``hybridize(backend="inductor")``: a program handed to torch's compiler."""
from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

import torch

from ..autograd.hand_over import Receive
from ..errors import MXNetError, NotBuiltError
from ..graph import Value
from ..passes.lifetimes import rule_of
from ..passes.loops import seams
from ..passes.schedule import schedule
from .hand_over import hand_over_all
from .inductor_graph import Compiled, compiled_whole
from .program import Program

#: pieces of a program, at most and at least; nodes that a piece is not made smaller than
_PIECES, _LEAST = (16, 8), 20


class CompiledPieces:
    """A program compiled by Inductor piece by piece; the same interface as `Program`.

    Inductor runs what it is given in an order of its own: it puts off the gradients of weights, and with them all that
    they read, and moves up what a plan recomputes late.  Within a piece that costs little memory.
    """

    __slots__ = ("_pieces", "_read", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value]):
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        nodes = schedule(outputs, inputs)
        length = [max(times * _LEAST, len(nodes) // pieces) for times, pieces in zip((1, 2), _PIECES, strict=True)]
        bounds = [0, *seams(nodes, outputs, *length), len(nodes)]
        pieces = [nodes[start:end] for start, end in itertools.pairwise(bounds) if end > start]
        last = {value: number for number, piece in enumerate(pieces) for node in piece for value in node.inputs}
        last.update(dict.fromkeys(outputs, len(pieces)))
        self._read = set(last)
        self._pieces: list[tuple[CompiledProgram, list[Value]]] = []   # and the values that nothing reads after it
        viewed = {node.inputs[0] for node in nodes if node.inputs and rule_of(node).shares}
        within: set[Value] = set()   # made by a piece, and nothing shares their memory
        for number, piece in enumerate(pieces):
            own = set(piece)
            made = [Value(node, i) for node in piece for i in range(node.num_outputs)]
            wanted = [value for value in made if last.get(value, -1) > number]
            read = dict.fromkeys(value for node in piece for value in node.inputs if value.node not in own)
            dying = [value for value in read if last[value] == number]
            program = CompiledProgram(wanted, list(read), [value for value in dying if value in within])
            within.update(value for value in wanted if not rule_of(value.node).shares and value not in viewed)
            self._pieces.append((program, dying))
        self.steps = [step for program, _ in self._pieces for step in program.steps]

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """As `Program.run`; `tensors` is emptied."""
        values = {value: tensor for value, tensor in zip(self.inputs, tensors, strict=True) if value in self._read}
        tensors.clear()
        for program, dying in self._pieces:
            given = [values[value] for value in program.inputs]
            for value in dying:
                del values[value]
            values.update(zip(program.outputs, program.run(given), strict=True))
        return [values[value] for value in self.outputs]

    def run_handing_over(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         receivers: Mapping[int, Receive], points: Sequence[tuple[int, int]]) -> list:
        """As `CompiledProgram.run_handing_over`."""
        return hand_over_all(self.run(tensors, seeds), receivers)


class CompiledProgram:
    """A program compiled by Inductor at its first run on tensors of each kind; the same interface as `Program`.

    It is compiled as one graph, whose inputs are freed as soon as nothing reads them, as a memory plan says; Inductor
    chooses the order of what remains, so the peak is near the plan's and not at it.
    """

    __slots__ = ("_compiled", "_program", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value], owned: Sequence[Value] = ()):
        """owned: inputs that the caller gives up and that share memory with nothing."""
        program = self._program = Program(outputs, inputs, "sums", owned)
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
            return compiled_whole(straight_line, tensors)
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
