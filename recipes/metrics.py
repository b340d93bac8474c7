"""Figures of each epoch: metrics.jsonl, metrics.csv, TensorBoard on request, and a plot."""
import csv
import io
import json
from typing import Any

from mxdl.errors import MXNetError
from mxdl.files import atomic_write

from .run import Run


class TensorBoardMissing(MXNetError, ImportError):
    """log.tensorboard is on and the package tensorboard is not installed."""


class PlotMissing(MXNetError, ImportError):
    """A plot was asked for and the package matplotlib is not installed."""


def flat(record: dict[str, Any], joint: str = "_") -> dict[str, Any]:
    """{"valid": {"loss": 1}} as {"valid_loss": 1}."""
    out = {}
    for key, value in record.items():
        out |= {f"{key}{joint}{name}": v for name, v in value.items()} if isinstance(value, dict) else {key: value}
    return out


def read(run: Run) -> list[dict[str, Any]]:
    """The records written so far; a line cut short by a crash is left out."""
    path = run.path("metrics.jsonl")
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def tensorboard_writer(folder):
    """Raises TensorBoardMissing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TensorBoardMissing("log.tensorboard: the package tensorboard is not installed; do "
                                 "pip install 'mxdl[tensorboard]', or leave log.tensorboard=false") from None
    return SummaryWriter(str(folder))


class Metrics:
    """Writes one record an epoch; a resumed run first forgets the epochs after its checkpoint."""

    def __init__(self, run: Run, tensorboard: bool = False, up_to_step: int = 0):
        self.run = run
        self.records = [record for record in read(run) if record["step"] <= up_to_step]
        self._board = tensorboard_writer(run.path("tensorboard")) if tensorboard else None
        self._rewrite()

    def _rewrite(self) -> None:
        """Both files, whole: they are small, and so are never found half written."""
        with atomic_write(self.run.path("metrics.jsonl"), "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(record) + "\n" for record in self.records)
        table = io.StringIO()
        rows = [flat(record) for record in self.records]
        writer = csv.DictWriter(table, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.run.write("metrics.csv", table.getvalue())

    def add(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self._rewrite()
        if self._board:
            for tag, value in flat(record, "/").items():
                self._board.add_scalar(tag, value, record["step"])
            self._board.flush()

    def close(self) -> None:
        if self._board:
            self._board.close()


def plot(records: list[dict[str, Any]], title: str, target) -> None:
    """One panel a measure, training and held-out curves over epochs, as PNG.  Raises PlotMissing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotMissing("log.plot: the package matplotlib is not installed; do pip install 'mxdl[plot]'") from None
    names = list(dict.fromkeys(name for record in records for name in (*record["train"], *record["valid"])))
    figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
    figure.suptitle(title)
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for split in ("train", "valid"):
            points = [(record["epoch"], record[split][name]) for record in records if name in record[split]]
            if points:
                panel.plot(*zip(*points, strict=True), marker=".", label=split)
        panel.set(xlabel="epoch", title=name)
        panel.grid(alpha=0.3)
        panel.legend()
    with atomic_write(target) as stream:
        figure.savefig(stream, format="png", dpi=100)
