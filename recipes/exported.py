"""Answers of an exported file (a C file, a library, a script), asked as the run that it came from would be."""
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mxdl.errors import MXNetError, OperatorError

ENDINGS = (".c", ".so", ".dylib", ".dll", ".js", "-symbol.json")


def is_one(word: str) -> bool:
    """Whether `word` names an exported file, by its ending."""
    return word.endswith(ENDINGS)


def answers(model, items: list[str]) -> Iterator[dict[str, Any]]:
    """One plain answer for each item.   model: an mx.Predictor.

    items: pictures or texts where the file says that its net takes them; else .csv files, whose rows are examples (all
    numbers of the first input, then of the next), or .npy arrays for a net of one input.   Raises MXNetError.
    """
    kind = model.task["kind"] if model.task else "numbers"
    tasks = {"image": _of_pictures, "text": _of_texts, "numbers": _of_numbers}
    if kind not in tasks:
        raise MXNetError(f"predict: {model.path}: a kind of input that this version does not know; got {kind!r}; "
                         f"export the model again")
    yield from tasks[kind](model, items)


def _of_pictures(model, items: list[str]) -> Iterator[dict[str, Any]]:
    from .vision.classification import ImageClassification
    yield from ImageClassification(None, model.task).predict(lambda pixels: model(pixels)[0], items)


def _of_texts(model, items: list[str]) -> Iterator[dict[str, Any]]:
    from .text.language_model import LanguageModel
    yield from LanguageModel(None, model.task).predict(_WordByWord(model), items)


class _WordByWord:
    """A language model exported for one word a call, called like the net: tokens [T, 1], states -> scores, states."""

    def __init__(self, model):
        self._model = model
        layers, _, hidden = model.inputs[1].shape
        self.state_shape = layers, hidden

    def __call__(self, tokens, *states):
        from mxdl import nd
        scores = []
        for t in range(len(tokens)):
            score, *states = self._model(tokens[t:t + 1], *states)
            scores.append(score)
        return nd.concat(*scores, dim=0), *states


def _of_numbers(model, items: list[str]) -> Iterator[dict[str, Any]]:
    if any(t.shape is None for t in model.inputs):
        raise OperatorError(f"predict: {model.path}: MXNet's files say no shapes; got {len(items)} items; "
                            f"export them with --to c, or call mx.Predictor on arrays")
    for item in items:
        for where, example in _examples(model, Path(item)):
            results = model(*example)
            yield {"item": where, **{t.name: result.asnumpy().reshape(-1).tolist()
                                     for t, result in zip(model.outputs, results, strict=True)}}


def _examples(model, path: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    if path.suffix == ".npy":
        yield str(path), [_whole(model, path)]
    elif path.suffix == ".csv":
        with path.open(newline="") as stream:
            for number, row in enumerate((r for r in csv.reader(stream) if any(r)), 1):
                yield f"{path}:{number}", _row(model, f"{path}:{number}", row)
    else:
        raise MXNetError(f"predict: {model.path} takes numbers; got {path}; give .csv files, a row for each example, "
                         f"or .npy arrays")


def _whole(model, path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise MXNetError(f"predict: {path}: not an array that NumPy saved; {error}") from error
    if len(model.inputs) != 1:
        raise MXNetError(f"predict: {model.path} has {len(model.inputs)} inputs; got one array, {path}; "
                        f"give .csv files")
    return array


def _row(model, where: str, row: list[str]) -> list[np.ndarray]:
    wanted = [int(np.prod(t.shape)) for t in model.inputs]
    try:
        numbers = np.array([float(word) for word in row])
    except ValueError as error:
        raise MXNetError(f"predict: {where}: not a row of numbers; {error}; leave out a header") from error
    if len(numbers) != sum(wanted):
        described = ", ".join(f"{n} for {t.name}" for t, n in zip(model.inputs, wanted, strict=True))
        raise MXNetError(f"predict: {where}: a row holds {described}; got {len(numbers)} numbers")
    parts = np.split(numbers, np.cumsum(wanted)[:-1])
    return [part.reshape(t.shape) for part, t in zip(parts, model.inputs, strict=True)]
