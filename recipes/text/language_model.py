"""What is the next word?  Truncated back-propagation through time over parallel streams of text."""
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ..check import Positive
from ..components import build, component
from ..task import TRAIN, Batch, Task
from .datasets import END, vocabulary, words_of


@component("task", "language_model")
class LanguageModel(Task):
    """Perplexity of the next word.  The text is cut into batch_size streams; states go on from batch to batch."""
    measures = {"perplexity": False, "loss": False}
    unit = "words"
    batch_axis = 1

    def __init__(self, recipe, facts=None, *, steps: Positive = 35):
        super().__init__(recipe, facts)
        self.steps = steps
        self.streams: dict[str, np.ndarray] = {}
        self._states: list[list] = []  # one [hidden, cell] a device

    def open(self, synthetic: bool = False) -> None:
        corpus = build("data", self.recipe.data)
        words = corpus.synthetic() if synthetic else corpus.load()
        self.facts = {"vocabulary": vocabulary(words[TRAIN])}
        number = {word: i for i, word in enumerate(self.facts["vocabulary"])}
        unknown = number.get("<unk>", 0)
        self.streams = {split: self._cut(np.array([number.get(word, unknown) for word in text], np.int32))
                        for split, text in words.items()}

    def _cut(self, text: np.ndarray) -> np.ndarray:
        """Side by side streams int32[length, batch_size]; the few words left over are dropped."""
        streams = self.recipe.train.batch_size
        length = len(text) // streams
        return np.ascontiguousarray(text[:length * streams].reshape(streams, length).T)

    def build(self):
        return build("model", self.recipe.model, self.facts)

    def initializer(self):
        from mxdl import init
        return init.Uniform(0.1)

    def num_batches(self, split: str) -> int:
        return -(-(len(self.streams[split]) - 1) // self.steps)

    def batches(self, split: str, epoch: int, start: int = 0) -> Iterator[Batch]:
        stream = self.streams[split]
        for number in range(start, self.num_batches(split)):
            piece = stream[number * self.steps:(number + 1) * self.steps + 1]
            yield Batch(piece[:-1], piece[1:], piece[1:].size)

    def start_epoch(self, net, batch_size: int, contexts: list) -> None:
        self._states = [zero_states(net, batch_size // len(contexts), context) for context in contexts]

    @cached_property
    def _cross_entropy(self):
        from mxdl.gluon.loss import SoftmaxCrossEntropyLoss
        return SoftmaxCrossEntropyLoss()

    def loss(self, net, data, label, slot: int = 0):
        scores, *states = net(data, *self._states[slot])
        self._states[slot] = [state.detach() for state in states]
        flat = scores.reshape((-1, len(self.facts["vocabulary"])))
        return self._cross_entropy(flat, label.reshape((-1,))).sum(), scores

    def carried(self) -> dict[str, Any]:
        return {f"{slot}.{part}": array
                for slot, states in enumerate(self._states) for part, array in enumerate(states)}

    def restore(self, carried: dict[str, Any]) -> None:
        for slot, states in enumerate(self._states):
            self._states[slot] = [carried[f"{slot}.{part}"].as_in_context(state.context)
                                  for part, state in enumerate(states)]

    def report(self, means: dict[str, float]) -> dict[str, float]:
        return {"perplexity": math.exp(min(means["loss"], 700.0)), **means}

    def example(self) -> tuple[np.ndarray, ...]:
        layers, hidden = self.recipe.model.options["layers"], self.recipe.model.options["hidden"]
        return np.zeros((1, 1), np.float32), *(np.zeros((layers, 1, hidden), np.float32) for _ in range(2))

    def page(self) -> dict[str, Any]:
        return {"kind": "text", "vocabulary": list(self.facts["vocabulary"]), "start": END}

    def predict(self, net, items: list[str]) -> Iterator[dict[str, Any]]:
        """Each text's perplexity, and the three likeliest words after it."""
        from mxdl import nd
        number = {word: i for i, word in enumerate(self.facts["vocabulary"])}
        for item in items:
            words = [number.get(word, number.get(word.lower(), number.get("<unk>", 0))) for word in words_of(item)][:-1]
            tokens = np.array([number.get(END, 0), *words], np.int32)[:, None]
            scores, *_ = net(nd.array(tokens), *zero_states(net, 1, None))
            logs = nd.log_softmax(scores).asnumpy()[:, 0]
            nats = -logs[np.arange(len(words)), words].mean() if words else 0.0
            next_words = [self.facts["vocabulary"][i] for i in np.argsort(-logs[-1])[:3]]
            yield {"item": item, "perplexity": math.exp(nats), "next": next_words}


def zero_states(net, streams: int, context) -> list:
    """[hidden, cell] of zeros, float[L, streams, H] each."""
    from mxdl import nd
    layers, hidden = net.state_shape
    return [nd.zeros((layers, streams, hidden), ctx=context) for _ in range(2)]
