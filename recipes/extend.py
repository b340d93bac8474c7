"""Components of a user's own: Python files that a recipe names under `extend`, imported before it is checked."""
import hashlib
import importlib.util
import sys
from pathlib import Path

from .components import registered
from .layers import Problem, Setting


def load_files(setting: Setting | None) -> list[Problem]:
    """Imports each file once; what is wrong with the list or with a file."""
    if setting is None:
        return []
    registered("task")  # mxdl's own components come first, so that a file that takes one's name is the one to be told
    files = setting.value.strip("[] ").split(",") if isinstance(setting.value, str) else setting.value
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        return []  # told when the key's type is checked
    return [Problem(setting.source, text) for file in files if (text := _load(Path(file.strip()).resolve()))]


def _load(path: Path) -> str:
    name = f"mxdl_extension_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return ""
    if not path.is_file():
        return f"extend: no such file: {path}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return f"extend: not a Python file: {path}"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is told with the recipe's other mistakes
        del sys.modules[name]
        return f"extend: {path} failed: {type(error).__name__}: {error}"
    return ""
