"""What launchers say in the environment: MXNet's DMLC_*, torchrun, Slurm, Open MPI, and this package's own variables.

Each reader gives the fields of a `Job` that its launcher tells.  Our own variables are laid over whatever was found.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Variables = Mapping[str, str]
Problems = list[str]

#: our variable -> (field of Job, type)
OURS: dict[str, tuple[str, type]] = {
    "MXDL_ROLE": ("role", str), "MXDL_RANK": ("rank", int), "MXDL_NUM_WORKERS": ("num_workers", int),
    "MXDL_NUM_SERVERS": ("num_servers", int), "MXDL_LOCAL_RANK": ("local_rank", int),
    "MXDL_LOCAL_SIZE": ("local_size", int), "MXDL_HOST": ("host", str), "MXDL_ADDRESS": ("address", str),
    "MXDL_PORT": ("port", int), "MXDL_INTERFACE": ("interface", str), "MXDL_GENERATION": ("generation", int),
    "MXDL_TIMEOUT": ("timeout", float), "MXDL_JOIN_TIMEOUT": ("join_timeout", float),
    "MXDL_TLS_CERT": ("tls_cert", str), "MXDL_TLS_KEY": ("tls_key", str), "MXDL_TLS_CA": ("tls_ca", str),
    "MXDL_JOURNAL": ("journal", str),
}
#: port next to the one that torchrun's own store listens on
TORCHRUN_OFFSET = 1


def recognise(variables: Variables) -> tuple[dict[str, Any], Problems]:
    """The fields of a Job that the environment gives, and what is wrong with the variables."""
    problems: Problems = []
    found: dict[str, Any] = {"launcher": "none"}
    own = variables.get("MXDL_ROLE")       # our launcher sets DMLC_* as well, for scripts that read them
    for launcher, (sign, read) in LAUNCHERS.items():
        if variables.get(sign) and not own:
            found = {"launcher": launcher, **read(variables, problems)}
            break
    fields = {name: field for name, field in OURS.items() if variables.get(name)}
    found.update({field: _value(variables, name, kind, problems) for name, (field, kind) in fields.items()})
    if found["launcher"] == "none" and fields:
        found["launcher"] = "mxdl"
    control = variables.get("MXDL_CONTROL") or found.pop("control", "rank0")
    found.pop("control", None)
    if control not in ("rank0", "external"):
        problems.append(f"MXDL_CONTROL is rank0 or external; got {control!r}")
    if found.get("num_workers", 1) == 1 and found.get("role", "worker") == "worker":
        found.setdefault("rank", 0)
        found.setdefault("port", 0)         # nobody else has to find it
    found["hosts_control"] = found.get("role") == "scheduler" or (
        control == "rank0" and found.get("role", "worker") == "worker" and found.get("rank", -1) == 0)
    _place(found)
    return {name: value for name, value in found.items() if value is not None}, problems


def _place(found: dict[str, Any]) -> None:
    """The leader, where the place on the machine is known: launchers number the workers of a machine in a row."""
    if None not in (found.get("rank"), found.get("local_rank")) and found.get("local_size"):
        found["leader"] = found["rank"] - found["local_rank"]


def _dmlc(variables: Variables, problems: Problems) -> dict[str, Any]:
    role = variables["DMLC_ROLE"]
    rank = "DMLC_WORKER_ID" if role == "worker" else "DMLC_SERVER_ID"
    return {"role": role, "rank": _number(variables, rank, problems),
            "num_workers": _number(variables, "DMLC_NUM_WORKER", problems, needed=True),
            "num_servers": _number(variables, "DMLC_NUM_SERVER", problems),
            "address": variables.get("DMLC_PS_ROOT_URI", "127.0.0.1"),
            "port": _number(variables, "DMLC_PS_ROOT_PORT", problems, needed=True),
            "interface": variables.get("DMLC_NODE_HOST") or variables.get("DMLC_INTERFACE"), "control": "external"}


def _torchrun(variables: Variables, problems: Problems) -> dict[str, Any]:
    port = _number(variables, "MASTER_PORT", problems)
    return {"rank": _number(variables, "RANK", problems, needed=True),
            "num_workers": _number(variables, "WORLD_SIZE", problems, needed=True),
            "local_rank": _number(variables, "LOCAL_RANK", problems),
            "local_size": _number(variables, "LOCAL_WORLD_SIZE", problems),
            "address": variables.get("MASTER_ADDR"), "port": None if port is None else port + TORCHRUN_OFFSET,
            "generation": _number(variables, "TORCHELASTIC_RESTART_COUNT", problems)}


def _slurm(variables: Variables, problems: Problems) -> dict[str, Any]:
    job = _number(variables, "SLURM_JOB_ID", problems) or 0
    nodes = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_JOB_NODELIST", "")
    alone = variables.get("SLURM_STEP_NUM_NODES", variables.get("SLURM_NNODES", "1")) == "1"
    per_node = re.match(r"\d+", variables.get("SLURM_STEP_TASKS_PER_NODE", ""))
    return {"rank": _number(variables, "SLURM_PROCID", problems, needed=True),
            "num_workers": _number(variables, "SLURM_NTASKS", problems, needed=True),
            "local_rank": _number(variables, "SLURM_LOCALID", problems) if per_node and alone else None,
            "local_size": int(per_node[0]) if per_node and alone else None,
            "host": variables.get("SLURMD_NODENAME"),
            "address": "127.0.0.1" if alone else first_node(nodes, problems), "port": 20000 + job % 20000}


def _open_mpi(variables: Variables, problems: Problems) -> dict[str, Any]:
    size, local = (_number(variables, f"OMPI_COMM_WORLD_{name}", problems) for name in ("SIZE", "LOCAL_SIZE"))
    address = variables.get("MASTER_ADDR")
    if address is None and size != local and not variables.get("MXDL_ADDRESS"):
        problems.append("MXDL_ADDRESS is needed under mpirun on several machines: the address of rank 0; "
                        "pass it by `mpirun -x MXDL_ADDRESS=...`")
    return {"rank": _number(variables, "OMPI_COMM_WORLD_RANK", problems, needed=True), "num_workers": size,
            "local_rank": _number(variables, "OMPI_COMM_WORLD_LOCAL_RANK", problems), "local_size": local,
            "address": address, "port": _number(variables, "MASTER_PORT", problems)}


#: launcher -> (the variable that shows it, its reader), in the order of asking
LAUNCHERS: dict[str, tuple[str, Callable[[Variables, Problems], dict[str, Any]]]] = {
    "dmlc": ("DMLC_ROLE", _dmlc), "open_mpi": ("OMPI_COMM_WORLD_RANK", _open_mpi),
    "torchrun": ("WORLD_SIZE", _torchrun), "slurm": ("SLURM_PROCID", _slurm),
}


def first_node(nodes: str, problems: Problems) -> str | None:
    """The first machine of Slurm's short list: node[07-09,12],other gives node07."""
    match = re.match(r"([^\[,\s]+)(?:\[([^\],-]+))?", nodes)
    if match is None:
        problems.append(f"SLURM_STEP_NODELIST names no machine; got {nodes!r}; give MXDL_ADDRESS")
        return None
    return match[1] + (match[2] or "")


def _number(variables: Variables, name: str, problems: Problems, needed: bool = False) -> int | None:
    if not variables.get(name):
        if needed:
            problems.append(f"{name} is not set")
        return None
    return _value(variables, name, int, problems)


def _value(variables: Variables, name: str, kind: type, problems: Problems) -> Any:
    try:
        return kind(variables[name])
    except ValueError:
        problems.append(f"{name} needs {'a whole number' if kind is int else 'a number'}; got {variables[name]!r}")
        return None
