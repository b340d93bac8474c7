"""Every environment variable that mxdl reads, with default and meaning.  No other file reads the environment."""
from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path | None:
    """MXDL_DATA: a folder that holds data sets, looked into first.  Default: none."""
    value = os.environ.get("MXDL_DATA", "")
    return Path(value).expanduser() if value else None


def home_folder() -> Path:
    """MXDL_HOME: where mxdl keeps its caches (data sets, measurements).  Default: ~/.mxdl"""
    return Path(os.environ.get("MXDL_HOME", "~/.mxdl")).expanduser()


def malloc_mode() -> str:
    """MXDL_MALLOC: what glibc does with freed blocks: "keep" them for speed, "return" those over 1 MiB to the system at
    once, so that the process takes what its arrays take, or "system" (as glibc comes).  Default: keep"""
    mode = os.environ.get("MXDL_MALLOC", "keep")
    if mode not in ("keep", "return", "system"):
        raise ValueError(f"MXDL_MALLOC: unknown mode; got {mode!r}; use keep, return or system")
    return mode


def ask_for_huge_pages() -> None:
    """THP_MEM_ALLOC_ENABLE: torch reads it at its first array: 1 asks Linux for pages of 2 MiB for arrays of that size
    and more, 0 does not.  Default: 1, but under MXDL_MALLOC=system as torch has it, which is 0
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def verify_passes() -> bool:
    """MXDL_VERIFY_PASSES: 1 verifies the graph after every pass (the tests do).  Default: 0"""
    return os.environ.get("MXDL_VERIFY_PASSES", "0") == "1"


def calibrate() -> bool:
    """MXDL_CALIBRATE: 0 lets the memory planner reckon with usual speeds and measure none here.  Default: 1"""
    return os.environ.get("MXDL_CALIBRATE", "1") == "1"


def thread_variables() -> dict[str, str]:
    """OMP_NUM_THREADS, MKL_NUM_THREADS, OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME, where set: the OpenMP runtimes
    read them; `mxdl doctor` shows them.  Default: unset
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    return {name: os.environ[name] for name in names if name in os.environ}


def compiler() -> str:
    """CC: the C compiler that builds an exported file.  Default: cc"""
    return os.environ.get("CC") or "cc"


def backward_do_mirror() -> bool:
    """MXNET_BACKWARD_DO_MIRROR: 1 makes executors recompute cheap operators in the backward pass.  Default: 0"""
    return os.environ.get("MXNET_BACKWARD_DO_MIRROR", "0") == "1"


def gluon_repository() -> str:
    """MXNET_GLUON_REPO: the folder, on the network, of MXNet's published data sets and weights.
    Default: MXNet's own."""
    url = os.environ.get("MXNET_GLUON_REPO", "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/")
    return url if url.endswith("/") else f"{url}/"
