"""A profile's events as totals: the text and the JSON of `dumps`, in MXNet's words."""
from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import MXNetError

#: `sort_by` -> position in `Total`
SORTED_BY = {"count": 0, "total": 1, "min": 2, "max": 3, "avg": 4}
MEMORY = "memory"           # a category whose values are bytes


class Total(NamedTuple):
    """How often, and milliseconds (of counters: values, of memory: kB)."""

    count: int
    total: float
    least: float
    most: float
    average: float


def totals(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, Total]]:
    """By category and name."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        amounts = found[event["cat"]][event["name"]]
        if event["ph"] == "X":
            amounts.append(event["dur"] / 1e3)
        elif event["ph"] == "C":
            amounts.append(event["args"][event["name"]] / (1e3 if event["cat"] == MEMORY else 1))
        else:
            amounts.append(0.0)
    return {category: {name: Total(len(amounts), sum(amounts), min(amounts), max(amounts), sum(amounts) / len(amounts))
                       for name, amounts in names.items()} for category, names in found.items()}


def _ordered(names: dict[str, Total], sort_by: str, ascending: bool) -> list[tuple[str, Total]]:
    if sort_by not in SORTED_BY:
        raise MXNetError(f"profiler.dumps: sort_by is one of {', '.join(SORTED_BY)}; got {sort_by!r}")
    position = SORTED_BY[sort_by]
    return sorted(names.items(), key=lambda row: row[1][position], reverse=not ascending)


def as_table(events: Iterable[dict[str, Any]], sort_by: str, ascending: bool) -> str:
    lines = ["", "Profile Statistics:"]
    for category, names in sorted(totals(events).items()):
        is_memory = category == MEMORY
        unit = ("Use", "(kB)") if is_memory else ("Time", "(ms)")
        heads = ["Name", "Total Count"] + ([] if is_memory else ["Time (ms)"])
        heads += [f"{word} {unit[0]} {unit[1]}" for word in ("Min", "Max", "Avg")]
        rows = [heads, ["-" * len(head) for head in heads]]
        for name, found in _ordered(names, sort_by, ascending):
            shown = found[2:] if is_memory else found[1:]
            rows.append([name, str(found.count), *(f"{amount:.4f}" for amount in shown)])
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines += ["Device Storage" if is_memory else category, "=" * 17]
        lines += ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                        zip(row[1:], widths[1:], strict=True))]) for row in rows]
        lines.append("")
    return "\n".join(lines) + "\n"


def as_json(events: Iterable[dict[str, Any]], sort_by: str, ascending: bool) -> str:
    tables: dict[str, dict[str, dict[str, dict[str, float]]]] = {"Time": {}, "Memory": {}}
    for category, names in totals(events).items():
        table = tables["Memory" if category == MEMORY else "Time"]
        table[category] = {name: {"Count": found.count, "Total": found.total, "Min": found.least, "Max": found.most,
                                  "Avg": found.average} for name, found in _ordered(names, sort_by, ascending)}
    return json.dumps({**tables, "Unit": {"Time": "ms", "Memory": "kB"}}, indent=4)
