"""Habits that a linter does not hold: one place for environment variables, small files, names that say something."""
import ast
from pathlib import Path

from tests.architecture.source_tree import ROOT, Module, modules, python_files

MAX_LINES = 700
READS_ENVIRONMENT = {"mxdl.config", "mxdl.kvstore.config"}
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "common", "misc"}
# public names that MXNet gave
MXNET_NAMES = {"mxdl.util", "mxdl.gluon.utils", "mxdl.contrib.text.utils", "mxdl.executor_manager"}
PERSONAL_PATHS = ("/" + "root/", "/" + "home/", "/" + "work/")


def environment_reads(tree: ast.Module) -> list[int]:
    """Lines that touch os.environ or os.getenv, also by `from os import environ`."""
    names = {"environ", "environb", "getenv", "getenvb"}
    lines = [node.lineno for node in ast.walk(tree)
             if isinstance(node, ast.Attribute) and node.attr in names
             and isinstance(node.value, ast.Name) and node.value.id == "os"]
    lines += [node.lineno for node in ast.walk(tree)
              if isinstance(node, ast.ImportFrom) and node.module == "os"
              and any(alias.name in names for alias in node.names)]
    return sorted(lines)


def test_environment_variables_are_read_in_one_place():
    found = [module.where(line) for module in modules().values() if module.name not in READS_ENVIRONMENT
             for line in environment_reads(module.tree)]
    assert not found, "\n".join(["environment variables are read in config.py only; got", *found])


def test_environment_reads_are_seen():
    text = "import os\nos.environ['A']\nos.getenv('A')\nfrom os import environ\nos.path\n"
    assert environment_reads(ast.parse(text)) == [2, 3, 4]


def all_files() -> list[Path]:
    return [ROOT / "setup.py", *python_files("mxdl", "kvstore", "recipes", "tools", "benchmarks", "tests")]


def test_files_stay_small():
    sizes = {path: len(path.read_text().splitlines()) for path in all_files()}
    found = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in sizes.items() if lines > MAX_LINES]
    assert not found, "\n".join([f"files over {MAX_LINES} lines (one idea a file):", *found])


def says_nothing(module: Module) -> bool:
    return module.name.rsplit(".", 1)[-1] in EMPTY_NAMES and module.name not in MXNET_NAMES


def test_module_names_say_something():
    found = [module.name for module in modules().values() if says_nothing(module)]
    assert not found, f"module names that say nothing: {found}; name each for the idea it holds"


def test_no_path_of_one_machine():
    found = [str(path.relative_to(ROOT)) for path in all_files()
             if any(personal in path.read_text() for personal in PERSONAL_PATHS)]
    assert not found, f"paths of somebody's machine in {found}"
