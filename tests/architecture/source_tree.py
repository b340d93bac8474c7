"""The repository's Python files as modules, and what each imports: ast only, nothing is executed."""
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Folder -> the dotted name it installs under (setup.py's package_dir).
INSTALLED = {"mxdl": "mxdl", "kvstore": "mxdl.kvstore", "recipes": "mxdl.recipes", "tools": "mxdl.tools"}
ALIASES = {"kvstore": "mxdl.kvstore", "recipes": "mxdl.recipes", "tools": "mxdl.tools"}


@dataclass(frozen=True)
class Import:
    target: str  # dotted name of the module imported
    line: int


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def where(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def modules() -> dict[str, Module]:
    """Every module that installs, by dotted name."""
    found = {}
    for folder, prefix in INSTALLED.items():
        for path in python_files(folder):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((prefix, *(part for part in parts if part != "__init__")))
            found[name] = Module(name, path, ast.parse(path.read_text(), str(path)))
    return found


def imports(module: Module) -> Iterator[Import]:
    """The mxdl modules that `module` imports, anywhere in it: inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _inside(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                # `from mxdl import errors` imports the module mxdl.errors; `from mxdl.errors import X` does not.
                full = f"{base}.{alias.name}"
                yield from _inside(full if _rename(full) in modules() else base, node.lineno)
        elif isinstance(node, ast.Call) and _is_import_module(node.func):
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield from _inside(node.args[0].value, node.lineno)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    package = parts if module.is_package else parts[:-1]
    kept = package[:len(package) - (node.level - 1)]
    return ".".join([*kept, node.module] if node.module else kept)


def _rename(name: str) -> str:
    head, _, rest = name.partition(".")
    return ".".join(filter(None, (ALIASES.get(head, head), rest)))


def _inside(name: str, line: int) -> Iterator[Import]:
    name = _rename(name)
    if name == "mxdl" or name.startswith("mxdl."):
        yield Import(name, line)


def _is_import_module(func: ast.expr) -> bool:
    return (isinstance(func, ast.Name) and func.id in ("import_module", "__import__")
            or isinstance(func, ast.Attribute) and func.attr == "import_module")
