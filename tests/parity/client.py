"""The tests' side of the reference: start MXNet's process when first asked, restart it when it dies, ask it."""
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.parity import message

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "MXDL_PARITY_PYTHON"
# One thread and no asynchronous engine: errors come from the call that makes them, and results are the same each time.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MXNET_ENGINE_TYPE": "NaiveEngine", "MXNET_CPU_WORKER_NTHREADS": "1"}


class MXNetRefused(Exception):
    """MXNet refused the request; the text is its traceback.  A variant that only mxdl accepts is not compared."""


class Answer(NamedTuple):
    """outputs: what the caller of mx.nd.NAME gets.   inputs: as the call left them (running statistics change).
    grads: one an input asked for; empty where MXNet has no gradient, and grad_error says so."""

    outputs: list[np.ndarray]
    inputs: list[np.ndarray]
    grads: list[np.ndarray]
    grad_error: str


def reference_python() -> Path | None:
    """The interpreter that has MXNet 1.9.1: $MXDL_PARITY_PYTHON, else .parity-venv in the repository's root."""
    path = Path(os.environ.get(VARIABLE) or ROOT / ".parity-venv/bin/python")
    return path if path.exists() else None


class Reference:
    """MXNet 1.9.1 in another process."""

    def __init__(self, python: Path):
        self.python = python
        self._process: subprocess.Popen | None = None
        self._log = tempfile.TemporaryFile()
        self._names: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Every operator name registered in MXNet, aliases too."""
        if self._names is None:
            self._names = frozenset(self._ask({"do": "names"}))
        return self._names

    def op(self, name: str, inputs: Sequence[np.ndarray], attrs: Mapping[str, Any] | None = None, *,
           train: bool = False, grad: Sequence[int] = (), head_grads: Sequence[np.ndarray | None] | None = None
           ) -> Answer:
        """Call the operator registered as `name`; with `grad`, also the gradients of those inputs.

        head_grads: one an output, None where none flows.   Raises MXNetRefused when MXNet refuses.
        """
        texts = {key: str(value) for key, value in (attrs or {}).items()}
        return Answer(**self._ask({"do": "op", "name": name, "inputs": list(inputs), "attrs": texts, "train": train,
                                   "grad": list(grad), "head_grads": head_grads and list(head_grads)}))

    def run(self, source: str, **values: Any) -> Any:
        """Run Python `source` there with `mx`, `np` and `values` in its namespace; returns its variable `result`.

        Arrays and NDArrays in the result come back as NumPy arrays, tuples as lists.
        """
        return self._ask({"do": "run", "source": source, "values": values})

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def _ask(self, request: dict) -> Any:
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            message.send(self._process.stdin, request)
            answer = message.receive(self._process.stdout)
        except (EOFError, BrokenPipeError):
            raise MXNetRefused(f"MXNet's process died (exit status {self._process.wait()}); "
                                 f"its last words: {self._last_words()}") from None
        if "error" in answer:
            raise MXNetRefused(answer["error"])
        return answer["ok"]

    def _start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MXNET"))}
        self._process = subprocess.Popen([self.python, Path(__file__).with_name("server.py")], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=self._log, env=environment | ENVIRONMENT)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")
