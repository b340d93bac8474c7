"""The recipes that come with mxdl, and those of a user: found by name or by file."""
from pathlib import Path

from mxdl.errors import MXNetError, suggest

HOME = Path(__file__).parent


class RecipeNotFound(MXNetError, FileNotFoundError):
    """There is no recipe of that name, and no file either; the text names the nearest."""


def recipes() -> dict[str, Path]:
    """Every recipe file that comes with mxdl, in all folders, by name (`vision/lenet_digits`)."""
    return {path.relative_to(HOME).with_suffix("").as_posix(): path for path in sorted(HOME.rglob("*.yaml"))}


def find(word: str) -> tuple[str, Path]:
    """(name, file) of `vision/lenet_digits`, of `lenet_digits`, or of a YAML file.  Raises RecipeNotFound."""
    known = recipes()
    if word in known:
        return word, known[word]
    if word.endswith((".yaml", ".yml")):
        if Path(word).is_file():
            return Path(word).stem, Path(word)
        raise RecipeNotFound(f"recipe {word}: no such file")
    short = [name for name in known if name.rpartition("/")[2] == word]
    if len(short) == 1:
        return short[0], known[short[0]]
    hint = suggest(word, known) or suggest(word, [name.rpartition("/")[2] for name in known])
    raise RecipeNotFound(f"recipe {word}: there is none of that name{hint} (mxdl list shows them; a recipe of your own "
                         f"is given as a path that ends in .yaml)")


def header(path: Path) -> list[str]:
    """The comment lines at the top of a recipe: its command, data, expected metric and cost."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines
