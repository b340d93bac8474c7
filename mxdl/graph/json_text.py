"""JSON text laid out as MXNet lays it out: byte for byte, so that saved files can be compared."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quoted(text: str) -> str:
    """A JSON string; only what JSON demands is escaped."""
    return f'"{text.translate(_ESCAPES)}"'


def numbers(rows: Sequence[Any], indent: int = 0) -> str:
    """A list of whole numbers, or of such lists; one item a line where there are more than ten."""
    items = [numbers(row) if isinstance(row, (list, tuple)) else str(row) for row in rows]
    return "[" + ", ".join(items) + "]" if len(items) <= 10 else block("[", items, "]", indent)


def string_map(entries: Mapping[str, str], indent: int) -> str:
    """Strings by key, sorted; on one line where there is one entry."""
    items = [f"{quoted(key)}: {quoted(value)}" for key, value in sorted(entries.items())]
    return "{" + items[0] + "}" if len(items) == 1 else block("{", items, "}", indent)


def block(opening: str, items: Sequence[str], closing: str, indent: int) -> str:
    """Items one a line, `indent` spaces deeper than the brackets' own indentation plus two."""
    if not items:
        return opening + closing
    pad = " " * (indent + 2)
    return f"{opening}\n{pad}" + f", \n{pad}".join(items) + f"\n{' ' * indent}{closing}"
