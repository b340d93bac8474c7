"""``hybridize(static_alloc=True, static_shape=True)`` on a GPU: a program captured once as a CUDA graph and replayed.

A replay launches all kernels at once, where a program launches them one by one.  What is captured reads and writes
fixed addresses, so for each signature of the inputs a capture holds: the inputs that came at the same address in the
calls before (parameters), as they are; a private copy of every other input, filled before each replay; the outputs,
which are copied out after it, so that two calls may be alive at once (a block that is called twice before backward).

Kernels are pure, so the runs that warm up have no effect, and new values of running statistics are outputs that the
caller writes back.  Programs whose random nodes take a new seed in every call, and those whose shapes depend on values,
are not captured: they run kernel by kernel, and say so once.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch

from ..autograd.hand_over import Receive
from ..errors import MXNetError, NotBuiltError
from .hand_over import hand_over_all
from .program import Program

#: plain runs of a signature before it is captured: libraries set themselves up, and addresses show which inputs stay
WARM_UP = 3
#: captures that one program holds, each with memory of its own
MOST_SIGNATURES = 8
Outputs = list[torch.Tensor]


class Recorder(Protocol):
    """What captures: `record(run)` runs `run` once as a capture; returns what replays it, and its outputs."""

    def record(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]: ...


class CudaRecorder:
    """CUDA graphs by torch.cuda, on a stream of their own."""

    def record(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            run()   # on this stream too, libraries make their workspaces before the capture
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outputs = run()
        return graph.replay, outputs


class Capture(NamedTuple):
    """inputs: what the captured kernels read.   copied: positions that are filled before each replay."""

    replay: Callable[[], None]
    inputs: list[torch.Tensor]
    copied: list[int]
    outputs: Outputs


class CapturedProgram:
    """A program that is replayed from its capture; the same interface as `Program`."""

    def __init__(self, program: Program, recorder: Recorder | None = None):
        self._program = program
        self._recorder = recorder or CudaRecorder()
        self.inputs, self.outputs, self.steps = program.inputs, program.outputs, program.steps
        self._captures: dict[tuple, Capture] = {}
        self._seen: dict[tuple, list[list[int]]] = {}    # addresses of the plain runs
        self._moving: set[int] = set()                   # inputs that came at another address after a capture
        self._plain_because = _cannot_capture(program)
        self._has_warned = False

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> Outputs:
        """As `Program.run`.  Raises NotBuiltError naming what torch says where a kernel cannot be captured."""
        if self._plain_because:
            self._warn_once()
            return self._program.run(tensors, seeds)
        signature = tuple((t.shape, t.dtype, t.stride(), t.device) for t in tensors)
        addresses = [t.data_ptr() for t in tensors]
        capture = self._captures.get(signature)
        if capture is not None and (moved := _moved(capture, addresses)):
            self._moving.update(moved)
            capture = None
        if capture is None:
            if not self._is_warm(signature, addresses):
                return self._program.run(tensors, seeds)
            capture = self._captures[signature] = self._capture(signature, tensors)
        for i in capture.copied:
            _elements(capture.inputs[i]).copy_(_elements(tensors[i]))
        tensors.clear()
        capture.replay()
        return [_copy(out) for out in capture.outputs]

    def run_handing_over(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         receivers: Mapping[int, Receive], points: Sequence[tuple[int, int]]) -> list:
        """As `Program.run_handing_over`, but all at the end: a replay gives its outputs together."""
        return hand_over_all(self.run(tensors, seeds), receivers)

    def _is_warm(self, signature: tuple, addresses: list[int]) -> bool:
        """Whether enough plain runs were made; else this one counts."""
        if signature not in self._seen and len(self._seen) == MOST_SIGNATURES:
            self._plain_because = f"it was called with more than {MOST_SIGNATURES} signatures of its inputs"
            return False
        seen = self._seen.setdefault(signature, [])
        if len(seen) < WARM_UP:
            seen.append(addresses)
            return False
        return True

    def _capture(self, signature: tuple, tensors: Sequence[torch.Tensor]) -> Capture:
        addresses = [[t.data_ptr() for t in tensors], *self._seen[signature]]
        copied = [i for i, at in enumerate(zip(*addresses, strict=True)) if len(set(at)) > 1 or i in self._moving]
        inputs = list(tensors)
        for i in copied:
            inputs[i] = _copy(tensors[i])
        try:
            replay, outputs = self._recorder.record(lambda: self._program.run(list(inputs)))
        except (RuntimeError, MXNetError) as error:
            raise NotBuiltError(f"hybridize(static_alloc=True, static_shape=True): this block cannot be captured as a "
                                f"CUDA graph; got {error}; hybridize without static_shape") from error
        return Capture(replay, inputs, copied, outputs)

    def _warn_once(self) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(f"hybridize(static_alloc=True, static_shape=True): this block is not captured as a CUDA graph "
                      f"and runs kernel by kernel: {self._plain_because}", stacklevel=6)


def _cannot_capture(program: Program) -> str:
    """Why the program runs kernel by kernel; empty where it can be captured."""
    for step in program.steps:
        if step.seed >= 0:
            return f"{step.node.op.name} draws with a new seed in every call"
        if step.node.op.traits.dynamic:
            return f"the shape of {step.node.op.name}'s output depends on values"
    return ""


def _elements(tensor: torch.Tensor) -> torch.Tensor:
    """The part that has memory of its own, of a tensor stretched by strides of 0."""
    return tensor[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tensor.stride())]


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in new memory that is stretched where the tensor is."""
    return _elements(tensor).clone().expand(tensor.shape)


def _moved(capture: Capture, addresses: Sequence[int]) -> list[int]:
    """Positions of inputs that were captured where they lay and now lie elsewhere."""
    copied = set(capture.copied)
    return [i for i, (tensor, now) in enumerate(zip(capture.inputs, addresses, strict=True))
            if i not in copied and tensor.data_ptr() != now]
