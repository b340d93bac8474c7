"""docs/differences.md says what every operator's entry says of where it differs from MXNet."""
from pathlib import Path

from mxdl.ops import registry

HEADER = "| operator, attributes | how it differs |"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"


def table() -> list[str]:
    """The rows that the entries call for, in alphabetical order."""
    rows = [f"| `{op.name}` | {op.parity} |" for op in registry.all() if op.parity]
    rows += [f"| `{op.name}`, {attributes(sample)} | {sample.parity} |" for op in registry.all()
             for sample in op.samples if sample.parity]
    return sorted(set(rows), key=str.lower)


def attributes(sample) -> str:
    given = [f"`{name}={value}`" for name, value in sample.attrs.items()]
    return ", ".join([*given, *(["training"] if sample.training else [])]) or "plain"


def test_page_has_the_entries_rows():
    after = PAGE.read_text().split(HEADER, 1)[1]
    rows = [line for line in after.split("\n\n", 1)[0].splitlines() if line.startswith("| `")]
    assert rows == table(), "\n".join(["the table of docs/differences.md must be these rows:", *table()])
