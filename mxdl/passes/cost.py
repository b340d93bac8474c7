"""What a node costs to run: floating-point operations and bytes moved, and the seconds that they take here."""
from __future__ import annotations

import functools
import json
import platform
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

from .. import config
from ..files import atomic_write, kept_measurements
from ..graph import Node, Value
from ..ops.traits import COSTLY
from .infer_types import Types
from .liveness import new_bytes
from .recompute import FusedTimes

#: operations an element that are assumed of a costly operator that does not declare `.flops`
_COSTLY_FLOPS = 50
#: operations an element (of four bytes) of a value that is made in a loop: a tanh, or a few of what is simpler
_LOOP_FLOPS = 16


class Rates(NamedTuple):
    """What this machine does: operations a second, bytes a second, seconds a call."""

    flops: float
    bytes: float
    call: float


#: one core of a server of 2020; used where nothing is measured (MXDL_CALIBRATE=0)
USUAL = Rates(5e10, 8e9, 5e-6)


def node_flops(node: Node, types: Types) -> int:
    """Floating-point operations of the node: as its operator declares, else one for each element of its outputs (of a
    costly operator: `_COSTLY_FLOPS`)."""
    inputs = [types[v] for v in node.inputs]
    outputs = [types[Value(node, i)] for i in range(node.num_outputs)]
    if node.op.flops_rule is not None:
        return int(node.op.flops_rule(inputs, outputs, node.op.filled(node.attrs)))
    if all(new_bytes(node, i, types) == 0 for i in range(node.num_outputs)):
        return 0
    each = _COSTLY_FLOPS if node.op.traits.recompute is COSTLY else 1
    return each * max((t.size for t in outputs), default=0)


def node_bytes(node: Node, types: Types) -> int:
    """Bytes that the node reads and writes, as its operator declares, else each input and output once; none for a
    view."""
    written = sum(new_bytes(node, i, types) for i in range(node.num_outputs))
    if not written or node.op.traits.shell:
        return 0
    if node.op.moves_rule is not None:
        outputs = [types[Value(node, i)] for i in range(node.num_outputs)]
        return int(node.op.moves_rule([types[v] for v in node.inputs], outputs, node.op.filled(node.attrs)))
    read = sum(types[v].num_bytes for i, v in enumerate(node.inputs) if i not in node.op.traits.shape_only)
    return read + written


def seconds_of(types: Types, rates: Rates) -> Callable[[Node], float]:
    """The seconds that a node takes, as a function of the node; remembered, since deep graphs repeat themselves."""
    known: dict[tuple, float] = {}

    def seconds(node: Node) -> float:
        key = (node.op.name, tuple(sorted(node.attrs.items())), tuple(types[v] for v in node.inputs))
        if key not in known:
            known[key] = (node_flops(node, types) / rates.flops + node_bytes(node, types) / rates.bytes + rates.call)
        return known[key]
    return seconds


def fused_times(rates: Rates) -> FusedTimes:
    """What values take in loops that a compiler fuses: operations, and bytes only where an array comes of it."""
    return FusedTimes(lambda num_bytes: _LOOP_FLOPS * num_bytes / 4 / rates.flops,
                      lambda num_bytes: 2 * num_bytes / rates.bytes)


def total_flops(nodes: Iterable[Node], types: Types) -> int:
    return sum(node_flops(node, types) for node in nodes)


@functools.lru_cache(maxsize=1)
def machine_rates() -> Rates:
    """This machine's rates: measured once (a quarter of a second) and kept in ``MXDL_HOME/rates.json``, so that equal
    graphs and budgets give equal plans ever after; `USUAL` under MXDL_CALIBRATE=0."""
    if not config.calibrate():
        return USUAL
    path = config.home_folder() / "rates.json"
    key = f"{platform.node()} {platform.machine()} torch {torch.__version__} threads {torch.get_num_threads()}"
    known = kept_measurements(path, _are_rates)
    if key not in known:
        known[key] = measured_rates()._asdict()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as stream:
            json.dump(known, stream, indent=1)
    return Rates(**known[key])


def _are_rates(entry: Any) -> bool:
    return isinstance(entry, dict) and {*entry} == {*Rates._fields} and all(
        isinstance(rate, float) and rate > 0 for rate in entry.values())


def measured_rates() -> Rates:
    """A convolution of 3x3, a relu that no cache holds, and a relu of one element."""
    with torch.no_grad():
        image, weight = torch.ones(2, 64, 56, 56), torch.ones(64, 64, 3, 3)
        big, small = torch.ones(1 << 23), torch.ones(1)
        convolution = _least(lambda: torch.conv2d(image, weight, padding=1), 5)
        stream = _least(lambda: torch.relu(big), 5)
        call = _least(lambda: torch.relu(small), 100)
    return Rates(2 * 2 * 64 * 56 * 56 * 64 * 9 / convolution, 2 * 4 * big.numel() / stream, call)


def _least(run: Callable[[], object], repeats: int) -> float:
    """Seconds of CPU time of each thread, the least of some runs: other work on the machine must not count."""
    run()
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best / torch.get_num_threads()
