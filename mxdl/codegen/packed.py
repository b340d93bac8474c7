"""Parameters in the order in which the kernels read them, stored beside the plain ones in the same file.

That order depends on the register tiles of an instruction set, and the kernels' own code (pack.c.in) is what knows it:
so the exported file itself is compiled on this machine, makes the packed parameters once and writes them down.  A
handle that takes another instruction set packs the plain ones, as it would without them.

    0    64 bytes  the header of weights.py, with, where packed parameters follow:
    32   8 bytes   order: the register tiles that they were packed for (0: none)
    40   8 bytes   checksum of the bytes that are read then: plain parameters that are read as they are, and packed ones
    ...            the arrays, those that are read as they are last
    ...            the packed parameters
"""
from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import torch

from ..errors import OperatorError
from ..graph import Value
from . import toolchain
from .frame import CFile
from .plan import ExportPlan
from .toolchain import ToolchainError
from .weights import HEADER_BYTES, checksum

ORDER_AT = 32


def require_packable(weights: str, precision: str) -> None:
    """Raises OperatorError where parameters cannot be stored packed."""
    if weights == "inside":
        raise OperatorError("export to C: packed parameters are read where they lie; got packed with weights='inside', "
                            "which are text; use weights='beside', 'incbin' or 'embed'")
    if precision != "float32":
        raise OperatorError(f"export to C: packed parameters are what the kernels read, float32; got "
                            f"precision={precision!r}; leave out one of the two")


def kept_last(plan: ExportPlan) -> tuple[dict[Value, torch.Tensor], int]:
    """The constants, those that are read as they are last; and how many are not."""
    read = {storage.value for step in plan.layout.steps if step.layer is None for storage in step.reads}
    read |= {plan.source.get(value, value) for value in plan.outputs}
    order = sorted(plan.constants, key=lambda value: value in read)
    return {value: plan.constants[value] for value in order}, sum(value not in read for value in order)


def filled(made: CFile) -> CFile:
    """`made`, whose file of parameters has room for packed ones, with these in it.  Raises ToolchainError."""
    order, packed = _packed_here(made)
    plain_end = len(made.blob) - len(packed)
    read = made.blob[HEADER_BYTES + made.read_from:plain_end] + packed
    head = (made.blob[:ORDER_AT] + order + checksum(read).to_bytes(8, "little")).ljust(HEADER_BYTES, b"\0")
    return made._replace(blob=head + made.blob[HEADER_BYTES:plain_end] + packed)


def _packed_here(made: CFile) -> tuple[bytes, bytes]:
    """(order, packed parameters) as this machine's compiler and best instruction set make them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, macro = Path(scratch), f"-D{made.options.name.upper()}_PACK"
        (folder / "net.c").write_text(made.text)
        (folder / made.options.weight_file).write_bytes(made.blob)
        toolchain.run([*toolchain.system(), "-O3", macro, "net.c", "-o", "packer", "-lm", "-lpthread"], folder)
        done = subprocess.run([folder / "packer", folder / made.options.weight_file], capture_output=True,
                              timeout=toolchain.SECONDS)
    if done.returncode or len(done.stdout) != 8 + made.packed_bytes:
        raise ToolchainError(f"export to C: packing the parameters failed; got status {done.returncode} and "
                             f"{len(done.stdout)} bytes: {done.stderr.decode(errors='replace').strip()}; "
                             f"leave out packed")
    return done.stdout[:8], done.stdout[8:]
