"""A search on this machine for how each 3x3 convolution is best computed: directly, or by which Winograd tiles.

The whole net is compiled by the system's compiler with every such convolution done one way, then the next, and each of
them is timed inside the net by turns: by itself a layer finds other things in the caches, and other ways win.  What was
found for a shape is kept for each machine, compiler and text of the kernels in `tuned/` of the caches' folder
(MXDL_HOME), so that a second export on the same machine is made without a search and has the same bytes.
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import config
from ..files import atomic_write, kept_measurements
from ..graph import Graph
from ..ops.blocked import Convolve
from ..types import TensorType
from . import kernels, toolchain
from .emit import c_text
from .frame import Options
from .geometry import FLOAT_BYTES
from .layers import Layer
from .layout import Step
from .plan import ExportPlan, export_plan
from .schedules import Choose, Schedule, Shapes, cost_model, winograd_fits
from .selftest import formula_input

WAYS = (Schedule(), Schedule(2), Schedule(4), Schedule(4, streamed=True))
ROUNDS = 15
WARM_BYTES = 1 << 24    # parameters of a net up to which they stay in the caches between calls


class Site(NamedTuple):
    """A convolution with a choice."""

    form: Convolve
    shapes: Shapes
    images: int
    streams: bool       # whether its parameters come from memory at every call

    @property
    def name(self) -> str:
        of, (top, left) = self.shapes, self.form.pad
        return (f"{self.images}x{of.channels}x{of.height}x{of.width}-{of.filters} pad {top},{left}"
                f"{'' if self.streams else ' warm'}")


class Found(NamedTuple):
    """choose: for export_plan.   text: what was chosen, for the banner."""

    choose: Choose
    text: str


def search(graph: Graph, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, TensorType], seconds: float,
           tell: Callable[[str], None]) -> Found:
    """The best schedule of every convolution with a choice; the cost model's where the time is over.

    Raises ToolchainError.
    """
    def plan(choose: Choose) -> ExportPlan:
        return export_plan(graph, parameters, inputs, choose)
    sites, started = list(dict.fromkeys(sites_of(plan(cost_model)).values())), time.monotonic()
    cache = config.home_folder() / "tuned" / f"{_machine()}.json"
    known = kept_measurements(cache, _is_kept)
    if any(site.name not in known for site in sites):
        known = _searched(plan, sites, started + seconds) | known
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache) as file:
            file.write(json.dumps(known, indent=1, sort_keys=True).encode())
    chosen = {(site.form, site.shapes): Schedule(*known[site.name]["schedule"]) for site in sites if site.name in known}
    tell(f"tuned {len(chosen)} of {len(sites)} shapes of convolutions in {time.monotonic() - started:.0f} s"
         + ("" if len(chosen) == len(sites) else "; the others are as the cost model says: give it more time"))

    def choose(form: Convolve, shapes: Shapes) -> Schedule:
        return chosen[form, shapes] if (form, shapes) in chosen else cost_model(form, shapes)
    text = "; ".join(f"{site.name}: {describe(chosen[site.form, site.shapes])}" for site in sites
                     if (site.form, site.shapes) in chosen)
    return Found(choose, text or "nothing was tuned")


def _searched(plan: Callable[[Choose], ExportPlan], sites: Sequence[Site], until: float) -> dict[str, dict]:
    """By a site's name {"schedule": [tile, tiles, streamed], "ms": {description: ...}}; nothing where the time is
    too short."""
    times = measure(plan, [dict.fromkeys(sites, way) for way in WAYS], until)
    if times is None:
        return {}
    best = {site: _least(times[site]) for site in sites}
    usual = {site: layer.tiles for layer, site in sites_of(plan(_chooser(best))).items()}
    finer = [{site: _with_tiles(site, best[site], usual[site] * 2 // part) for site in sites} for part in (4, 1)]
    more = measure(plan, [best, *finer], until) or {}
    for site, found in more.items():
        times[site] |= found
    return {site.name: {"schedule": list(_least(times[site])),
                        "ms": {describe(s): round(ms, 4) for s, ms in times[site].items()}} for site in sites}


def _is_kept(entry: Any) -> bool:
    """Whether `_searched` may have written it."""
    schedule = entry.get("schedule") if isinstance(entry, dict) else None
    return (isinstance(schedule, list) and len(schedule) == len(Schedule._fields)
            and Schedule(schedule[0], 0, *schedule[2:]) in WAYS and isinstance(schedule[1], int) and schedule[1] >= 0)


def _with_tiles(site: Site, schedule: Schedule, tiles: int) -> Schedule:
    """`schedule` with so many Winograd tiles at a time, where there are that many."""
    if not schedule.tile or schedule.streamed:
        return schedule
    total = -(-site.shapes.out_height // schedule.tile) * -(-site.shapes.out_width // schedule.tile)
    return Schedule(schedule.tile, tiles) if 1 <= tiles <= total else schedule


def _chooser(chosen: Mapping[Site, Schedule]) -> Choose:
    by_shape = {(site.form, site.shapes): schedule for site, schedule in chosen.items()}
    return lambda form, shapes: by_shape[form, shapes] if (form, shapes) in by_shape else cost_model(form, shapes)


def _least(times: Mapping[Schedule, float]) -> Schedule:
    return min(times, key=lambda schedule: times[schedule])


def describe(schedule: Schedule) -> str:
    side = schedule.tile
    by = f" by {schedule.tiles} tiles" if schedule.tiles else ""
    by = " of filters as they are read" if schedule.streamed else by
    return f"F({side}x{side}, 3x3){by}" if side else "direct"


def sites_of(plan: ExportPlan) -> dict[Layer, Site]:
    """The site of each layer that has a choice, in running order."""
    streams = plan.packed_floats * FLOAT_BYTES > WARM_BYTES
    layers = [step.layer for step in plan.layout.steps if isinstance(step.layer, Layer)]
    return {layer: Site(layer.form, layer.shapes, layer.images, streams) for layer in layers
            if isinstance(layer.form, Convolve) and winograd_fits(layer.form, layer.shapes)}


def _machine() -> str:
    """A number of this machine's processor, the compiler and the kernels' texts."""
    facts = Path("/proc/cpuinfo")
    models = [line for line in facts.read_text().splitlines() if line.startswith(("model name", "flags"))] \
        if facts.exists() else [platform.processor()]
    compiler = toolchain.system()
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=60).stdout
    texts = "".join(kernels.text(name) for name in ("simd", *kernels.FILES))
    return hashlib.sha256("\n".join([platform.machine(), *sorted(set(models)), *compiler, version, texts]).encode()
                          ).hexdigest()[:16]


def measure(plan: Callable[[Choose], ExportPlan], ways: Sequence[Mapping[Site, Schedule]],
            until: float) -> dict[Site, dict[Schedule, float]] | None:
    """Milliseconds of CPU time of each site within the net under each of its schedules; None where the time is over.

    Raises ToolchainError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        nets = []
        for number, way in enumerate(ways):
            if time.monotonic() > until:
                return None
            nets.append(_TimedNet(plan(_chooser(way)), Path(scratch, str(number))))
        found: dict[Site, dict[Schedule, list[float]]] = {site: {} for site in ways[0]}
        for _ in range(ROUNDS):
            for way, net in zip(ways, nets, strict=True):
                for site, ms in net.times():
                    found[site].setdefault(way[site], []).append(ms)
    return {site: {schedule: statistics.quantiles(ms, n=4)[0] for schedule, ms in by.items()}
            for site, by in found.items()}


class _TimedNet:
    """A net, compiled so that it times its layers that have a choice."""

    _model: ctypes.c_void_p | None = None       # as long as it is not compiled

    def __init__(self, plan: ExportPlan, folder: Path):
        sites = sites_of(plan)
        self._sites: list[Site] = []

        def timed(step: Step, statements: list[str]) -> list[str]:
            if not isinstance(step.layer, Layer) or step.layer not in sites:
                return statements
            self._sites.append(sites[step.layer])
            tick = f"tick_({len(self._sites) - 1});"
            return [f"{tick} {' '.join(statements)} {tick}"]
        names = [f"output{i}" for i in range(len(plan.outputs))]
        made = c_text(plan, names, "tune", Options("net", "beside", "net.bin"), [], timed)
        folder.mkdir()
        (folder / "net.c").write_text(_CLOCK.replace("COUNT", str(max(len(self._sites), 1))) + made.text)
        (folder / "net.bin").write_bytes(made.blob)
        command = [*toolchain.system(), "-O3", "-march=native", "-shared", "-fPIC"]
        toolchain.run([*command, "net.c", "-o", "net.so", "-lm"], folder)
        self._library = ctypes.CDLL(str(folder / "net.so"))
        self._library.net_open.restype = ctypes.c_void_p
        self._model = ctypes.c_void_p(self._library.net_open(str(folder / "net.bin").encode(), None))
        if not self._model:
            raise toolchain.ToolchainError("tune: the compiled net does not start; export without tune")
        for i, row in enumerate(made.inputs):
            data = formula_input(row.type, i).numpy()
            place, size = data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(data.size)
            self._library.net_set_input(self._model, i, place, size)

    def times(self) -> list[tuple[Site, float]]:
        """Of one call that follows another one."""
        for _ in range(2):
            self._library.net_forward(self._model)
        seen = (ctypes.c_double * len(self._sites)).in_dll(self._library, "ticks_")
        return list(zip(self._sites, seen, strict=True))

    def __del__(self) -> None:
        if self._model:
            self._library.net_free(self._model)


#: stands before the exported text, which includes itself for each instruction set; a second tick ends a measurement
_CLOCK = """#ifndef SECTION_
#include <time.h>
double ticks_[COUNT];
static double since_[COUNT];
void tick_(int site);
void tick_(int site) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    const double now = (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
    ticks_[site] = since_[site] ? now - since_[site] : 0;
    since_[site] = since_[site] ? 0 : now;
}
#endif
"""
