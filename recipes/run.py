"""The folder of a run: everything needed to know what was run, to resume it, and to use what came out.

    recipe.yaml     the resolved recipe, with where each value came from
    run.json        command, versions, machine, and the facts of the data (classes, vocabulary) that the net needs
    metrics.jsonl metrics.csv metrics.png log.txt
    checkpoints/    see checkpoint.py
"""
import datetime
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import mxdl
from mxdl.errors import FileFormatError, MXNetError
from mxdl.files import atomic_write

from .layers import read_file, read_overrides
from .resolve import Resolved, resolve_settings


class RunFolderError(MXNetError):
    """A folder is not a run, or is one already.  Fix: what the message asks."""


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version(), "mxdl": mxdl.__version__}
    for name in ("torch", "numpy", "scikit-learn", "matplotlib"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def as_yaml(resolved: Resolved) -> str:
    """The recipe with all its values, one a line with its source; reading it gives the same recipe."""
    lines = [f"# {resolved.name}, resolved"]
    for heading in dict.fromkeys(key.partition(".")[0] for key in resolved.values):
        keys = [key for key in resolved.values if key.partition(".")[0] == heading]
        indent = "" if keys == [heading] else "  "
        if indent:
            lines.append(f"{heading}:")
        for key in keys:
            value = resolved.values[key]
            plain = list(value) if isinstance(value, tuple) else value
            text = yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
            lines.append(f"{indent}{key.rpartition('.')[2]}: {text}  # {' '.join(str(resolved.sources[key]).split())}")
    return "\n".join(lines) + "\n"


def default_folder(name: str) -> Path:
    """runs/<recipe>-<date>-<time>, not yet there."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    path = Path("runs") / f"{label}-{stamp}"
    return path if not path.exists() else Path(f"{path}-{os.getpid()}")


class Run:
    """A run's folder, made by `create` or found by `open`."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.is_writer: Callable[[], bool] = lambda: True      # of several workers, the first

    @staticmethod
    def is_one(folder) -> bool:
        return (Path(folder) / "run.json").is_file()

    @classmethod
    def check_free(cls, folder: Path) -> None:
        """Raises RunFolderError when something is there already."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = ("a run is there already; go on with it by --resume" if cls.is_one(folder) else
                    "it is not empty" if folder.is_dir() else "it is a file")
            raise RunFolderError(f"run folder {folder}: {what}, or choose another with --out")

    @classmethod
    def create(cls, folder: Path, resolved: Resolved) -> "Run":
        """Raises RunFolderError when something is there already."""
        cls.check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        run.write("recipe.yaml", as_yaml(resolved))
        machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
        run.write_info(name=resolved.name, seed=resolved.recipe.seed, command=sys.argv, versions=versions(),
                       machine=machine,
                       started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"))
        return run

    @classmethod
    def open(cls, folder) -> "Run":
        """Raises RunFolderError when `folder` is not a run."""
        if not cls.is_one(folder):
            raise RunFolderError(f"run folder {folder}: not a run (it has no run.json)")
        return cls(Path(folder))

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, text: str) -> None:
        with atomic_write(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)

    @property
    def info(self) -> dict[str, Any]:
        path = self.path("run.json")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{path}: not readable ({error}); the run folder is damaged") from error

    def write_info(self, **entries) -> None:
        """Adds entries to run.json, in the first worker."""
        if not self.is_writer():
            return
        known = self.info if self.path("run.json").exists() else {}
        self.write("run.json", json.dumps({**known, **entries}, indent=1) + "\n")

    def resolved(self, overrides: list[str] = (), files: list[Path] = ()) -> Resolved:
        """The run's recipe, with further files and overrides laid over it.  Raises RecipeError."""
        layers, problems = zip(read_file(self.path("recipe.yaml"), "recipe"), *(read_file(f, "file") for f in files),
                               read_overrides(list(overrides)), strict=True)
        return resolve_settings(self.info["name"], list(layers), sum(problems, []))

    def log(self, text: str) -> None:
        """Adds lines to log.txt, in the first worker."""
        if not self.is_writer():
            return
        stamp = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        with open(self.path("log.txt"), "a", encoding="utf-8") as stream:
            stream.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))
