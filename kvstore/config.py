"""Every environment variable that the store reads, with default and meaning.  No other file here reads the environment.

A job (job.py) may be described by this package's own variables or by those of a launcher that people already have:
MXNet's DMLC_*, torchrun, Slurm, Open MPI.  A variable of our own always wins over a launcher's.
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

#: name -> meaning; `Job.from_environment` reads these
JOB_VARIABLES = {
    "MXDL_ROLE": "worker, server or scheduler.  Default: worker",
    "MXDL_RANK": "number of this worker or server, from 0.  Default: given at the joining",
    "MXDL_NUM_WORKERS": "workers of the job.  Default: 1",
    "MXDL_NUM_SERVERS": "parameter server processes; 0: a thread of the first worker.  Default: 0",
    "MXDL_LOCAL_RANK": "number of this worker on its machine.  Default: found at the joining",
    "MXDL_LOCAL_SIZE": "workers on this machine.  Default: found at the joining",
    "MXDL_HOST": "name of this machine, equal for the processes that share its memory.  Default: the host's name",
    "MXDL_ADDRESS": "where the control server is.  Default: 127.0.0.1",
    "MXDL_PORT": "its port.  Default: 9091",
    "MXDL_CONTROL": "who runs the control server: `rank0` (a thread of worker 0) or `external` (the launcher)."
                    "  Default: rank0",
    "MXDL_INTERFACE": "interface (eth0) or address that this process listens on.  Default: the one that reaches "
                      "the control server",
    "MXDL_TOKEN": "the job's secret: whoever does not know it cannot join.  Needed outside loopback",
    "MXDL_TOKEN_FILE": "a file that holds the secret; MXDL_TOKEN wins",
    "MXDL_GENERATION": "how many times the whole job was started before; older processes are refused.  Default: 0",
    "MXDL_TIMEOUT": "seconds without a sign of life after which a process counts as dead.  Default: 10",
    "MXDL_JOIN_TIMEOUT": "seconds to wait for the control server, for the other workers and for a server's successor."
                         "  Default: 60",
    "MXDL_TLS_CERT": "certificate (PEM) of the control server; turns TLS on there",
    "MXDL_TLS_KEY": "its private key (PEM)",
    "MXDL_TLS_CA": "certificate (PEM) that clients trust; turns TLS on there",
    "MXDL_JOURNAL": "folder in which parameter servers journal every update.  Default: none, a killed server's state "
                    "is lost",
}


def environment() -> dict[str, str]:
    """A copy of the process's environment."""
    return dict(os.environ)


def bigarray_bound() -> int:
    """MXNET_KVSTORE_BIGARRAY_BOUND: arrays of at least so many elements are split over all servers.
    Default: 1,000,000
    """
    return _positive("MXNET_KVSTORE_BIGARRAY_BOUND", 1_000_000)


def server_limit_bytes() -> int:
    """MXDL_SERVER_LIMIT_BYTES: the most that one parameter server holds in values.  Default: 64 GiB"""
    return _positive("MXDL_SERVER_LIMIT_BYTES", 64 << 30)


#: bytes of a block of shared memory: what a worker publishes at once
SHARED_BLOCK_BYTES = 1 << 20


def shared_blocks() -> int:
    """MXDL_SHARED_MIB: MiB of shared memory for each worker of a machine (and once more for the sums); twice as much
    where there are several machines.  Default: 8
    """
    blocks = _positive("MXDL_SHARED_MIB", 8)
    if blocks % 4:
        raise ValueError(f"MXDL_SHARED_MIB: needs a multiple of 4; got {blocks}")
    return blocks


def read_peers() -> bool:
    """MXDL_READ_PEERS: 0 sums through shared memory even where workers of a machine can read each other's own.
    Default: 1
    """
    return os.environ.get("MXDL_READ_PEERS", "1") == "1"


def network() -> str:
    """MXDL_NETWORK: how `dist_sync` moves sums between machines: `sockets` (its own) or `gloo` (torch's).
    Default: sockets
    """
    found = os.environ.get("MXDL_NETWORK", "") or "sockets"
    if found not in ("sockets", "gloo"):
        raise ValueError(f"MXDL_NETWORK: needs sockets or gloo; got {found!r}")
    return found


def bucket_bytes() -> int:
    """MXDL_BUCKET_MIB: MiB of gradients that are one task; a round takes up to four, 16 between machines.  Default: 16
    """
    return _positive("MXDL_BUCKET_MIB", 16) << 20


def slice_elements() -> int:
    """MXNET_KVSTORE_SLICE_THRESHOLD: elements of a slice of the store `p3`.  Default: 40,000"""
    return _positive("MXNET_KVSTORE_SLICE_THRESHOLD", 40_000)


def elastic() -> bool:
    """MXDL_ELASTIC: 1 makes `dist_sync` go on when a worker dies (docs/kvstore.md).  Default: 0"""
    return os.environ.get("MXDL_ELASTIC", "0") == "1"


def least_workers() -> int:
    """MXDL_LEAST_WORKERS: an elastic job ends when fewer are left.  Default: 1"""
    return _positive("MXDL_LEAST_WORKERS", 1)


def max_delay() -> int | None:
    """MXDL_MAX_DELAY: pushes that a worker of `dist_async` may be ahead of the slowest one.  Default: no bound"""
    return _positive("MXDL_MAX_DELAY", 1) if os.environ.get("MXDL_MAX_DELAY") else None


def straggler_timeout() -> float:
    """MXDL_STRAGGLER_TIMEOUT: seconds to wait for a slower but living worker before it is an error.  Default: 300"""
    return float(_positive("MXDL_STRAGGLER_TIMEOUT", 300))


def journal_to_disk() -> bool:
    """MXDL_JOURNAL_TO_DISK: 1 forces each change to the disk before it is acknowledged, so that it survives the end of
    the machine, not only of the process.  Default: 0
    """
    return os.environ.get("MXDL_JOURNAL_TO_DISK", "0") == "1"


def token_of(variables: Mapping[str, str]) -> str:
    """MXDL_TOKEN, or the content of MXDL_TOKEN_FILE.  Raises OSError where the file cannot be read."""
    if variables.get("MXDL_TOKEN"):
        return variables["MXDL_TOKEN"]
    path = variables.get("MXDL_TOKEN_FILE", "")
    return Path(path).expanduser().read_text().strip() if path else ""


def _positive(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdigit() or not int(text):
        raise ValueError(f"{name}: needs a whole number above 0; got {text!r}")
    return int(text)
