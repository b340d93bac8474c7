"""What a run says while it goes: a line that is rewritten on a terminal, plain lines elsewhere, JSON, or nothing."""
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Literal, TextIO

Mode = Literal["auto", "quiet", "json"]


def memory_bytes() -> int:
    """Resident memory of this process now (at its highest, where the system does not say)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def duration(seconds: float) -> str:
    """4.2 s, 3:07, 1:02:03"""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figures(values: dict[str, float]) -> str:
    """accuracy 0.9812  loss 0.0634"""
    return "  ".join(f"{name} {value:.4g}" if value >= 1 else f"{name} {value:.4f}" for name, value in values.items())


class Progress:
    """`tick` within an epoch, `epoch` at its end, `say` for the rest; `log` also gets what `epoch` and `say` print."""

    def __init__(self, mode: Mode = "auto", every: float = 1.0, log=None, stream: TextIO | None = None):
        self.mode, self.every, self._log = mode, every, log
        self._stream = stream or (sys.stdout if mode == "json" else sys.stderr)
        self._rewrites = mode == "auto" and self._stream.isatty()
        self._last, self._line = 0.0, ""

    def _print(self, text: str) -> None:
        self._stream.write(f"\r{' ' * len(self._line)}\r{text}\n" if self._line else f"{text}\n")
        self._stream.flush()
        self._line = ""

    def event(self, name: str, **entries: Any) -> None:
        """One JSON object on a line; only in JSON mode."""
        if self.mode == "json":
            self._print(json.dumps({"event": name, **entries}))

    def say(self, text: str) -> None:
        if self._log:
            self._log(text)
        if self.mode == "auto":
            self._print(text)

    def due(self) -> bool:
        """Is it time for another tick?"""
        return self._rewrites and time.monotonic() - self._last >= self.every

    def tick(self, place: str, values: dict[str, float], speed: float, unit: str, eta: float) -> None:
        """Rewrites the line: place, figures, speed, time left, memory."""
        self._last = time.monotonic()
        text = (f"{place}  {figures(values)}  {speed:,.0f} {unit}/s  eta {duration(eta)}  "
                f"mem {memory_bytes() / 2**20:,.0f} MB")[:shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r{text.ljust(len(self._line))}")
        self._stream.flush()
        self._line = text

    def epoch(self, record: dict[str, Any], epochs: int, unit: str, eta: float) -> None:
        """The figures of a finished epoch."""
        self.event("epoch", **record)
        self.say(f"epoch {record['epoch']}/{epochs}  train {figures(record['train'])}  "
                 f"valid {figures(record['valid'])}  "
                 f"{record['speed']:,.0f} {unit}/s  after {duration(record['seconds'])}  eta {duration(eta)}  "
                 f"mem {record['memory_mb']:,.0f} MB")
