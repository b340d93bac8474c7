"""What surrounds the computation in an exported file: the interface, handles, parameters, programs, MXNet's names."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any, NamedTuple

from ..errors import NotBuiltError, OperatorError
from ..types import TensorType
from . import kernels, weights
from .selftest import Expected, expected_text

HANDLE_BYTES = 256   # the handle's room at the start of the arena; runtime.c.in asserts that it is enough
TEAM_BYTES = 512     # a mutex and a condition of any system; team.c.in asserts that it is enough
MOST_AXES = 8
PART = 1000          # characters of a string: at most 4000 when each is written as \ooo, and C99 allows 4095
NAN_POLICIES = {
    "accept": "",
    "refuse": "        if ((bits & 0x7fffffffu) >= 0x7f800000u) {\n"
              "            m->ready &= ~(1u << index);\n"
              '            return fail_(m, "set_input: the input holds NaN or infinity");\n'
              "        }",
    "zero": "        if ((bits & 0x7fffffffu) >= 0x7f800000u) memset(x + 4 * k, 0, 4);",
}


class Options(NamedTuple):
    """How the file is made.

    name: prefix of every exported C name.   weights: one of weights.PLACES.   weight_file: the name of the file of
    parameters, as the program finds it.   nan: one of NAN_POLICIES, for float32 inputs.   provenance: facts for the
    banner.   winograd: whether 3x3 convolutions may use Winograd's algorithm.   task: what inputs and outputs mean, in
    plain JSON (see web.page).   packed: whether parameters are stored in the kernels' order.
    threads: that compute a call together.   tune: seconds for a search of schedules.
    """

    name: str = "model"
    weights: str = "inside"
    weight_file: str = "model.bin"
    nan: str = "accept"
    provenance: Mapping[str, str] = {}
    winograd: bool = True
    precision: str = "float32"
    max_batch: int = 1
    task: Mapping[str, Any] | None = None
    packed: bool = False
    threads: int = 1
    tune: float = 0


class Row(NamedTuple):
    """An input or output: its name, its type and where it lies in the arena, or among the parameters."""

    name: str
    type: TensorType
    offset: int
    is_weight: bool = False


class CFile(NamedTuple):
    """version: name and content.   text: the C file.   header: its interface alone.   blob: the parameters, for a file
    beside it.   arena_bytes: what a handle takes.   packed_bytes: of packed parameters at the end of the blob.
    read_from: where, after the header, those begin that are read even so."""

    version: str
    text: str
    header: str
    blob: bytes
    arena_bytes: int
    options: Options
    inputs: tuple[Row, ...]
    outputs: tuple[Row, ...]
    packed_bytes: int = 0
    read_from: int = 0


def c_file(options: Options, version: str, inputs: Sequence[Row], outputs: Sequence[Row], value_bytes: int,
           packed_bytes: int, stored: weights.Weights, section: str, expected: Sequence[Expected],
           read_from: int = 0) -> CFile:
    """Everything in its place.  value_bytes: what intermediate values take.   packed_bytes: what parameters take in the
    kernels' order.   stored: the parameters.   section: the kernels and the passes, compiled once for each instruction
    set.   read_from: where the stored arrays begin that are read where packed ones are stored too.

    The same arguments give the same bytes.  Raises OperatorError for an unknown option.
    """
    if options.nan not in NAN_POLICIES:
        raise OperatorError(f"export to C: no such policy for NaN; got {options.nan!r}; "
                            f"use one of {', '.join(NAN_POLICIES)}")
    weights.require_place(options.weights)
    if options.max_batch < 1:
        raise OperatorError(f"export to C: max_batch counts the examples of a call; got {options.max_batch}; "
                            f"give 1 or more")
    *places, batch_bytes = _batch_places([*inputs, *outputs], options.max_batch)
    content = hashlib.sha256(section.encode() + stored.blob).hexdigest()[:16]
    info = {"model": options.name, "mxdl": version, "content": content, "weights": options.weights,
            "nan": options.nan, **({"packed": "yes"} if options.packed else {}),
            **({"threads": str(options.threads)} if options.threads > 1 else {}), **options.provenance}
    names = {"p": options.name, "P": options.name.upper()}
    blob = stored.blob + bytes(packed_bytes if options.packed else 0)
    inside = len(blob) if options.weights == "inside" else 0
    team = TEAM_BYTES + 64 * options.threads if options.threads > 1 else 0
    arena_bytes = HANDLE_BYTES + value_bytes + packed_bytes + batch_bytes + inside + team
    header = _fill("interface.h.in", **names, blob_bytes=len(blob), weight_file=options.weight_file,
                   max_batch=options.max_batch, total_bytes=arena_bytes)
    version_text = f"{options.name} {content}"
    text = _fill(
        "runtime.c.in", **names, interface=header.rstrip("\n"), freestanding=_fill("freestanding.h.in"),
        banner=_banner(options, info), value_bytes=value_bytes, packed_bytes=packed_bytes, batch_bytes=batch_bytes,
        packed=int(options.packed), payload_bytes=stored.payload_bytes, read_from=read_from, team=_team(options, team),
        layout=stored.layout, section=section,
        dispatch=Template(kernels.text("dispatch")).substitute(P=names["P"]),
        parameters=_parameters(options, stored.blob), nan_policy=_nan_policy(options.nan),
        version=c_string(version_text), info=c_string(json.dumps(info)), task=_task(options),
        all_ready=(1 << len(inputs)) - 1,
        num_inputs=len(inputs), num_outputs=len(outputs), inputs=",\n".join(map(_row, inputs, places)),
        outputs=",\n".join(map(_row, outputs, places[len(inputs):])),
        extras=_extras(names, options, expected, version_text))
    return CFile(version_text, text, f"/* {options.name} {content}, made by mxdl {version} */\n{header}", blob,
                 arena_bytes, options, tuple(inputs), tuple(outputs), packed_bytes if options.packed else 0, read_from)


def _fill(template: str, **values: Any) -> str:
    return Template(resources.files(__package__).joinpath(template).read_text()).substitute(values)


def _banner(options: Options, info: Mapping[str, str]) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in info.items()).replace("*/", "* /")
    macro = options.name.upper()
    return (f"{options.name}: one model in one file, generated by mxdl.\n"
            f" * Compile: cc -O3 FILE.c -lm  (-D{macro}_MAIN: a program that reads examples; -D{macro}_SELFTEST: one "
            f"that checks itself;\n * -D{macro}_MXNET_API: MXNet's C predict names; -D{macro}_HEADER_ONLY: the "
            f"interface alone)\n * {facts}")


def _parameters(options: Options, blob: bytes) -> str:
    if options.weights == "inside":
        return _fill("weights_inside.c.in", chunks="\n".join(weights.literals(blob)))
    file = c_string(options.weight_file)[1:-1]
    return _fill(f"weights_{options.weights}.c.in", file=file, p=options.name)


def _team(options: Options, team_bytes: int) -> str:
    """The text of how a call is run, by one thread or several."""
    return _fill("alone.c.in") if options.threads == 1 else _fill(
        "team.c.in", p=options.name, P=options.name.upper(), threads=options.threads, team_bytes=team_bytes)


def _task(options: Options) -> str:
    text = json.dumps(options.task) if options.task else ""
    return "".join(f"{c_string(text[i:i + PART])},\n" for i in range(0, len(text), PART))


def _nan_policy(policy: str) -> str:
    if not NAN_POLICIES[policy]:
        return ""
    return ("    unsigned char *const x = place;\n"
            "    for (size_t k = 0; inputs_[index].kind == FLOAT_ && k < n; ++k) {\n"
            "        uint32_t bits;\n        memcpy(&bits, x + 4 * k, 4);\n" f"{NAN_POLICIES[policy]}\n    }}")


def _extras(names: Mapping[str, str], options: Options, expected: Sequence[Expected], version: str) -> str:
    packer = [_fill("packer.c.in", **names)] if options.packed else []
    return "\n".join([
        _fill("mxnet_api.c.in", **names, weight_file=options.weight_file), _fill("program.c.in", **names), *packer,
        _fill("selftest.c.in", **names, expected=expected_text(expected), version=c_string(version))])


def _batch_places(rows: Sequence[Row], max_batch: int) -> list[int]:
    """Where the examples of each row lie, and behind the last; nowhere where a call has one example only."""
    places = [0]
    for row in rows:
        places.append(places[-1] + (-(-row.type.num_bytes * max_batch // 64) * 64 if max_batch > 1 else 0))
    return places


def _row(row: Row, place: int) -> str:
    shape = row.type.shape
    if len(shape) > MOST_AXES:
        raise NotBuiltError(f"export to C: {row.name} has more than {MOST_AXES} axes; got {row.type}; reshape it")
    kind = "FLOAT_" if row.type.dtype == "float32" else "OTHER_"
    dims = ", ".join(map(str, shape)) or "0"
    return (f'    {{{c_string(row.name)}, "{",".join(map(str, shape))}", "{row.type.dtype}", {row.type.size}, '
            f"{row.type.num_bytes}, {row.offset}, {place}, {kind}, {int(row.is_weight)}, {len(shape)}, {{{dims}}}}}")


def c_string(text: str) -> str:
    """A C literal of `text`: whatever a name holds, it stays inside the quotes."""
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{plain}"'
