"""The C kernels that operators share, as text, and the section that is compiled once for each instruction set."""
from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources

#: the kernels' files, in the order in which they stand in the C file (later ones call earlier ones)
FILES = ("halves", "math", "rows", "gemm", "panels", "sort", "boxes", "pack", "conv", "depthwise", "winograd",
         "streamed", "blocked")
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


def section(functions: Mapping[str, str], posts: Mapping[str, int], instances: Mapping[str, str],
            prepare: Iterable[str], body: Iterable[str], threads: int = 1,
            packed: bool = False) -> str:
    """What is compiled once for each instruction set: the words of vectors, the shared kernels that the rest calls,
    `functions` (texts by name), the kernels' instances for this model's shapes, and two passes made of statements:
    `prepare`, when a model is created, and the forward pass, `body`.

    posts: what kernels compute at their end, expressions of the vectors x and r, by number.
    instances: names by the text that follows them.   threads: that walk through `body` (see shares.walk).
    packed: whether packed parameters are at q, which stands before the values (see packed.py).
    Every name becomes one of its section (`v_load_avx2`), so that the sections stand in one file.
    """
    own = [*functions.values(), *(f"NOINLINE void {name}{c}" for c, name in instances.items()),
           _pass("prepare", prepare), *(_packed(_pass("forward", [_READ_Q, *body], threads)) if packed else
                                        [_pass("forward", body, threads)])]
    parts = [text("simd"), *called("\n".join([*own, *posts])), *own]
    parts.insert(1 + (text("math") in parts), _post(posts))
    names = dict.fromkeys(defined("\n".join(parts)))
    return "\n".join([*(f"#define {name} ISA_({name})" for name in names), *parts])


def _post(posts: Mapping[str, int]) -> str:
    cases = "".join(f"    case {number}: return {expression};\n" for expression, number in posts.items() if number)
    switch = f"    switch (number) {{\n{cases}    }}\n" if cases else ""
    return ("/* what follows a layer at once: x is its result, r its side input */\n"
            f"INLINE vf post_(const int number, vf x, vf r) {{\n    (void)number;\n    (void)r;\n"
            f"{switch}    return x;\n}}")


_READ_Q = "const float *q; memcpy(&q, a - sizeof q, sizeof q);"


def _packed(forward: str) -> list[str]:
    """A forward pass that the program which packs parameters does without; and what packing depends on."""
    empty = forward[:forward.index(_READ_Q)] + "}"
    return [f"#ifdef PACKER_\n{empty}\n#else\n{forward}\n#endif",
            "static uint64_t order(void) {\n    return (uint64_t)1 << 63 | (uint64_t)VW << 24 | TILE_V << 16 | "
            "TILE_P << 8 | TILE_SUMS;\n}"]


def _pass(name: str, statements: Iterable[str], threads: int = 1) -> str:
    lines = "".join(f"    {line}\n" for line in statements)
    if threads == 1:
        return f"static void {name}(const float *w, unsigned char *a) {{\n    (void)w;\n    (void)a;\n{lines}}}"
    return (f"static void {name}(const float *w, unsigned char *a, struct team_ *team, const int me, "
            f"const int members) {{\n    (void)w;\n    (void)a;\n    (void)team;\n    (void)me;\n    (void)members;\n"
            f"{lines}}}")
