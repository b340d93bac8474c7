"""Saved training states: never half written, and holding nothing that must be executed to be read.

    checkpoints/00000345/model.params    weights, MXNet's format
                         trainer.states  the optimizer's state
                         carried.params  hidden states that go from batch to batch (only where a task has some)
                         state.json      step, epoch, batch, sums of the epoch so far, best value
    checkpoints/last -> 00000345         and best -> ...

A checkpoint is filled under a temporary name, forced to disk and renamed; then the link is replaced.  A process killed
at any moment leaves `last` pointing to a whole checkpoint.
"""
import json
import shutil
from pathlib import Path
from typing import Any

from mxdl.errors import FileFormatError, MXNetError
from mxdl.files import atomic_folder, atomic_link, atomic_write

LAST, BEST = "last", "best"


class CheckpointMissing(MXNetError, FileNotFoundError):
    """A run has no checkpoint to resume from or to use.  Fix: train it first."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, keep: int = 1):
        self.folder, self.keep = Path(folder).resolve(), keep

    def save(self, step: int, state: dict[str, Any], write_parts, best: bool) -> Path:
        """Writes checkpoint `step`: `write_parts(folder)` writes the arrays.  Raises OSError, with nothing lost."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{step:08d}"
        if target in self._linked():  # nothing was trained since: the arrays are the same
            with atomic_write(target / "state.json", "w", encoding="utf-8") as stream:
                json.dump(state, stream)
        else:
            shutil.rmtree(target, ignore_errors=True)  # whole, but a process was killed before it was linked
            with atomic_folder(target) as folder:
                write_parts(folder)
                (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
        atomic_link(self.folder / LAST, target.name)
        if best:
            atomic_link(self.folder / BEST, target.name)
        self._prune()
        return target

    def _linked(self) -> set[Path]:
        return {(self.folder / name).resolve() for name in (LAST, BEST)}

    def _prune(self) -> None:
        """Removes all but the latest `keep` and the best, and what a killed process left half written."""
        used = {path.name for path in self._linked()}
        whole = sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name.isdigit())
        for name in set(whole[:-self.keep]) - used:
            shutil.rmtree(self.folder / name)
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def has_any(self) -> bool:
        return (self.folder / LAST / "state.json").is_file()

    def find(self, which: str = LAST) -> Path:
        """The folder of `last`, `best`, or a step.  Raises CheckpointMissing."""
        path = self.folder / (f"{int(which):08d}" if which.isdigit() else which)
        if not (path / "state.json").is_file():
            raise CheckpointMissing(f"{self.folder}: there is no checkpoint {which!r}")
        return path.resolve()

    def state(self, path: Path) -> dict[str, Any]:
        """The plain part of a checkpoint.  Raises FileFormatError."""
        try:
            return json.loads((path / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{path / 'state.json'}: not readable ({error})") from error
