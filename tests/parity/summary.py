"""The last lines of a test run: how many operators were compared with MXNet, or that none could be."""
from __future__ import annotations

from collections import defaultdict

from mxdl.ops import registry
from tests.parity.client import VARIABLE, reference_python

NOT_THERE = (f"PARITY NOT CHECKED: no MXNet 1.9.1 to compare with. Run `make parity-env`, or name a Python that has it "
             f"in {VARIABLE}.")


def write(terminal) -> None:
    """Write the summary of the parity tests that ran, if any were chosen."""
    reports = [report for reports in terminal.stats.values() for report in reports
               if getattr(report, "nodeid", "").startswith("tests/parity/")]
    if not reports:
        return
    if reference_python() is None:
        terminal.write_sep("!", NOT_THERE, red=True, bold=True)
        return
    compared = defaultdict(set)
    for report in reports:
        for key, value in getattr(report, "user_properties", ()):
            if key == "parity":
                name, direction = value
                compared[direction].add(name)
    operators = [op for op in registry.all() if op.parity is not None]
    apart = sum(op.parity != "" for op in operators)
    forward, backward = len(compared["forward"]), len(compared["backward"])
    terminal.write_line(f"operators compared with MXNet 1.9.1: {forward} of {len(operators)} "
                        f"(forward {forward}, backward {backward}); {apart} are not comparable: docs/differences.md")
