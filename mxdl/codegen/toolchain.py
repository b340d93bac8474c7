"""Compilers: the machine's own, and zig's clang from the package ziglang, which compiles for every other machine."""
from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .. import config
from ..errors import MXNetError

SECONDS = 540   # more than any compilation takes, zig's first one for a C library included
#: zig alone turns on the undefined-behaviour sanitizer, and then needs its runtime.
ZIG_FLAGS = ("-O3", "-fno-sanitize=undefined")


class ToolchainError(MXNetError):
    """A compiler is missing, or refused the file.

    Fix: install gcc or clang, or name a compiler in CC; for other machines and the browser
    `pip install 'mxdl[export]'`.
    """


def zig() -> list[str]:
    """The command of zig's C compiler, without a target.  Raises ToolchainError."""
    found = importlib.util.find_spec("ziglang")
    if found is None or not found.submodule_search_locations:
        raise ToolchainError("export: compiling for the browser or another machine needs the package ziglang, which is "
                             "not installed; do pip install 'mxdl[export]'")
    return [str(Path(found.submodule_search_locations[0]) / "zig"), "cc"]


def system() -> list[str]:
    """The command of this machine's C compiler; zig's where there is none.  Raises ToolchainError."""
    command = config.compiler().split()
    return command if shutil.which(command[0]) else zig()


def cross(target: str, compiler: str = "") -> list[str]:
    """The command that compiles for `target` (a triple as zig writes it), by zig or by the clang that `compiler` names.

    A clang of the system knows the architecture but has no C library for it.   Raises ToolchainError.
    """
    if not compiler:
        return [*zig(), "-target", target, *ZIG_FLAGS]
    if not shutil.which(compiler):
        raise ToolchainError(f"export: no compiler {compiler!r} here; install it, or leave the choice to mxdl")
    return [compiler, f"--target={target}", "-O3"]


def run(command: Sequence[str | Path], folder: str | Path | None = None) -> None:
    """Run a compiler, in `folder`.  Raises ToolchainError with what it said."""
    words = [str(word) for word in command]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder, timeout=SECONDS)
    except FileNotFoundError:
        raise ToolchainError(f"compile: no C compiler {words[0]!r} here; install gcc or clang, or set CC") from None
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"compile: {' '.join(words)} took longer than {SECONDS} s; try again") from None
    except subprocess.CalledProcessError as error:
        raise ToolchainError(f"compile: {' '.join(words)} failed:\n{error.stderr.strip()}") from None
