"""README.md and docs/: their Python runs, and the files they name exist."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")),
         ROOT / "benchmarks" / "README.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:docs|tests|benchmarks|mxdl|kvstore|recipes|tools|notebooks)/[\w./-]*)`")


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


def python_of(page: Path) -> str:
    """The ```python blocks of a page as one script; other lines are empty, so that errors name the page's lines."""
    lines, inside = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        lines.append(line if inside else "")
    return "\n".join(lines)


@pytest.mark.parametrize("page", [page for page in PAGES if python_of(page).strip()], ids=title)
def test_python_blocks_run(page, tmp_path):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(python_of(page))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(ROOT)),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_files_named_are_there(page):
    text = page.read_text()
    named = [(page.parent / link) for link in LINK.findall(text)] + [ROOT / name for name in FILE.findall(text)]
    missing = [str(path) for path in named if not path.exists()]
    assert not missing, f"{title(page)} names files that are not there: {missing}"
