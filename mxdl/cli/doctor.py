"""Is this machine fit for mxdl?  Packages, threads, GPU, compiler, data, and traps that are known to cost people days.

Exit code 1 when something that mxdl cannot do without is missing.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from mxdl import config

NAME = "doctor"
SUMMARY = "what is installed and found here, and known traps"

_OPTIONAL = {"scikit-learn": "quickstart's digits", "matplotlib": "metrics.png", "pillow": "reading pictures",
             "tensorboard": "log.tensorboard", "onnx": "ONNX export"}


@dataclass(frozen=True)
class Finding:
    level: Literal["ok", "note", "problem"]
    topic: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def packages() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{sys.version.split()[0]} at {sys.executable}")
    for name in ("mxdl", "torch", "numpy", "pyyaml"):
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("problem", name, f"not installed; pip install {name}")
    for name, use in _OPTIONAL.items():
        try:
            yield Finding("ok", name, f"{metadata.version(name)} ({use})")
        except metadata.PackageNotFoundError:
            yield Finding("note", name, f"not installed; only needed for {use}")


def cpu_quota(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """Cores that the control group grants; None where there is no limit."""
    try:
        quota, period = limits.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def thread_findings(threads: int, cores: int, quota: float | None, variables: dict[str, str],
                    openmp: str) -> Iterator[Finding]:
    """threads that torch uses, cores of the machine, cores granted, OpenMP's variables that are set, its name."""
    granted = min(cores, quota) if quota else cores
    text = f"{threads} threads on {cores} cores" + (f", of which a quota grants {quota:g}" if quota else "")
    if threads > max(1, round(granted)):
        yield Finding("note", "threads", f"{text}: more threads than cores wait for each other; "
                                         f"set OMP_NUM_THREADS={max(1, int(granted))}")
    else:
        yield Finding("ok", "threads", text)
    if shown := ", ".join(f"{name}={value}" for name, value in variables.items()):
        yield Finding("ok", "variables", shown)
    passive = variables.get("OMP_WAIT_POLICY", "").lower() == "passive" or "GOMP_SPINCOUNT" in variables
    if threads > 1 and not passive and "KMP_BLOCKTIME" not in variables:
        yield Finding("note", "spinning", f"idle {openmp} threads spin, which slows other processes on the same cores "
                                          f"(and this one, under a quota) several times; when sharing the machine set "
                                          f"OMP_WAIT_POLICY=PASSIVE")


def machine() -> Iterator[Finding]:
    import torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    openmp = "Intel OpenMP" if "Intel(R) OpenMP" in torch.__config__.parallel_info() else "GNU OpenMP"
    yield from thread_findings(torch.get_num_threads(), cores, cpu_quota(), config.thread_variables(), openmp)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            yield Finding("ok", f"gpu({number})", f"{found.name}, {found.total_memory / 2**30:.0f} GiB")
    elif shutil.which("nvidia-smi"):
        yield Finding("note", "gpu", f"this machine has nvidia-smi, but torch {torch.__version__} sees no GPU; install "
                                     f"a CUDA build of torch, or a driver that is new enough for it")
    else:
        yield Finding("ok", "gpu", "none; mxdl runs on the CPU")
    shared = Path("/dev/shm")
    if shared.is_dir() and (size := shutil.disk_usage(shared).total) < 2**28:
        yield Finding("note", "shared memory", f"/dev/shm has {size / 2**20:.0f} MB; DataLoader's workers pass "
                                               f"batches through it: give the container more (--shm-size)")


_TRY = '#include <math.h>\n#include <stdio.h>\nint main(void) { printf("%.0f", sqrt(49.0)); return 0; }\n'


def c_compiler() -> Iterator[Finding]:
    from mxdl.recipes.export import CompilerError, compile_c
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "try.c", Path(folder) / "try"
        source.write_text(_TRY)
        try:
            compile_c(source, program)
        except CompilerError as error:
            yield Finding("note", "compiler", f"{error} (only exported files need one)")
            return
        answer = subprocess.run([str(program)], capture_output=True, text=True).stdout
    version = subprocess.run([*config.compiler().split(), "--version"], capture_output=True, text=True).stdout
    yield Finding("ok" if answer == "7" else "problem", "compiler", version.partition("\n")[0])


def data_sets() -> Iterator[Finding]:
    from mxdl import public_data
    for name in ("mnist", "fashion-mnist", "cifar10-jpeg-12k", "ptb"):
        found = [folder for folder in public_data.folders(name) if folder.is_dir()]
        if found:
            yield Finding("ok", f"data {name}", str(found[0]))
        else:
            where = public_data.folders(name)[-1]
            yield Finding("note", f"data {name}", f"not here yet; downloaded to {where} when first used")


def traps() -> Iterator[Finding]:
    try:
        real = metadata.version("mxnet")
        yield Finding("note", "mxnet", f"the real MXNet {real} is installed too; `import mxnet` gives that one, except "
                                       f"under `mxdl run` and after mxdl.compat.install()")
    except metadata.PackageNotFoundError:
        return


def run(args: argparse.Namespace) -> int:
    worst = 0
    for check in (packages, machine, c_compiler, data_sets, traps):
        for finding in check():
            worst |= finding.level == "problem"
            mark = {"ok": " ", "note": "!", "problem": "X"}[finding.level]
            print(json.dumps(asdict(finding)) if args.json else f"{mark} {finding.topic:22} {finding.text}", flush=True)
    return int(worst)
