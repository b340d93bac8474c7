"""The C kernels that operators share, as text, and the section that is compiled once for each instruction set."""
from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources

#: the kernels' files, in the order in which they stand in the C file (later ones call earlier ones)
FILES = ("math", "rows", "gemm", "panels", "sort", "boxes")
#: what a text defines at the left margin: functions and tables, and types
_DEFINED = re.compile(r"^(?:(?:static|INLINE|NOINLINE)\b[^;{(=\[]*?\b(\w+)\s*[(\[]|typedef \w+ (\w+)\b)", re.MULTILINE)


@functools.cache
def text(file: str) -> str:
    """The text of mxdl/codegen/kernels/FILE.c.in."""
    return resources.files(__package__).joinpath(f"{file}.c.in").read_text()


@functools.cache
def file_of(function: str) -> str:
    """The file that defines `function`.  Raises KeyError."""
    for file in FILES:
        if function in defined(text(file)):
            return file
    raise KeyError(function)


def defined(c: str) -> list[str]:
    """The names that the C text `c` defines, each once."""
    return list(dict.fromkeys(name for pair in _DEFINED.findall(c) for name in pair if name))


def called(c: str) -> list[str]:
    """The texts of the shared kernels that the C text `c` calls, in their order, and of those that they call."""
    found: list[str] = []
    for file in reversed(FILES):
        if set(re.findall(r"\w+", c)) & set(defined(text(file))):
            found.insert(0, text(file))
            c += text(file)
    return found


def section(functions: Mapping[str, str], body: Iterable[str]) -> str:
    """What is compiled once for each instruction set: the words of vectors, the shared kernels that `functions` (texts
    by name) and the statements `body` call, these functions, and the forward pass made of `body`.

    Every name becomes one of its section (`v_load_avx2`), so that the sections stand in one file.
    """
    own, lines = list(functions.values()), "\n".join(f"    {line}" for line in body)
    parts = [text("simd"), *called("\n".join([*own, lines])), *own]
    names = [*defined("\n".join(parts)), "forward"]
    return "\n".join([*(f"#define {name} ISA_({name})" for name in dict.fromkeys(names)), *parts,
                      "static void forward(const float *w, unsigned char *a) {", "    (void)w;", "    (void)a;",
                      lines, "}"])
