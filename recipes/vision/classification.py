"""Which of the classes is in the picture?"""
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mxdl.errors import MXNetError

from ..check import Fraction
from ..components import build, component
from ..task import TRAIN, Batch, Task, generator


@component("task", "image_classification")
class ImageClassification(Task):
    """Softmax cross-entropy over the classes; pictures are float[N, C, H, W], normalised by the data set's figures."""
    measures = {"accuracy": True, "loss": False}
    unit = "images"

    def __init__(self, recipe, facts=None, *, augment: Literal["none", "shift", "flip_shift"] = "none",
                 label_smoothing: Fraction = 0.0):
        super().__init__(recipe, facts)
        self.augment, self.label_smoothing = augment, label_smoothing
        self.splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def open(self, synthetic: bool = False) -> None:
        images = build("data", self.recipe.data)
        self.facts = {"classes": list(images.classes), "shape": list(images.shape), "mean": list(images.mean),
                      "std": list(images.std), "white": images.white}
        self.splits = images.synthetic(2 * self.recipe.train.batch_size) if synthetic else images.load()

    def build(self):
        return build("model", self.recipe.model, self.facts)

    def num_batches(self, split: str) -> int:
        return -(-len(self.splits[split][1]) // self.recipe.train.batch_size)

    def batches(self, split: str, epoch: int, start: int = 0) -> Iterator[Batch]:
        images, labels = self.splits[split]
        size, seed = self.recipe.train.batch_size, self.recipe.seed
        order = generator(seed, epoch).permutation(len(labels)) if split == TRAIN else np.arange(len(labels))
        for number in range(start, self.num_batches(split)):
            chosen = order[number * size:(number + 1) * size]
            pixels = images[chosen]
            if split == TRAIN and self.augment != "none":
                pixels = shifted(pixels, generator(seed, epoch, number), flip=self.augment == "flip_shift")
            yield Batch(self.normalised(pixels), labels[chosen], len(chosen))

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """uint8[N, C, H, W] as the net takes them: float32, mean 0 and deviation 1 over the training set."""
        mean, std = (np.array(self.facts[name], np.float32)[:, None, None] for name in ("mean", "std"))
        return (pixels.astype(np.float32) / np.float32(self.facts["white"]) - mean) / std

    def loss(self, net, data, label, slot: int = 0):
        from mxdl import autograd, nd
        outputs = net(data)
        if self.label_smoothing and autograd.is_recording():
            classes = len(self.facts["classes"])
            off = self.label_smoothing / classes
            label = nd.one_hot(label, classes, on_value=1 - self.label_smoothing + off, off_value=off)
            return self._cross_entropy(False)(outputs, label).sum(), outputs
        return self._cross_entropy(True)(outputs, label).sum(), outputs

    @staticmethod
    @cache
    def _cross_entropy(sparse: bool):
        from mxdl.gluon.loss import SoftmaxCrossEntropyLoss
        return SoftmaxCrossEntropyLoss(sparse_label=sparse)

    def measure(self, outputs, label) -> dict[str, tuple[float, float]]:
        best = outputs.asnumpy().argmax(axis=1)
        return {"accuracy": (float((best == label.asnumpy()).sum()), float(len(best)))}

    def example(self) -> tuple[np.ndarray, ...]:
        return (np.zeros((1, *self.facts["shape"]), np.float32),)

    def page(self) -> dict[str, Any]:
        return {"kind": "image", **{name: self.facts[name] for name in ("classes", "shape", "mean", "std", "white")}}

    def predict(self, net, items: list[str]) -> Iterator[dict[str, Any]]:
        from mxdl import nd
        for item in items:
            scores = net(nd.array(self.normalised(read_picture(item, *self.facts["shape"], self.facts["white"]))))
            chances = nd.softmax(scores).asnumpy()[0]
            best = int(chances.argmax())
            yield {"item": item, "class": self.facts["classes"][best], "probability": float(chances[best])}


def shifted(pixels: np.ndarray, draw: np.random.Generator, flip: bool) -> np.ndarray:
    """Each picture moved by up to an eighth of its side in both directions (black comes in), and mirrored or not."""
    count, _, height, width = pixels.shape
    reach = height // 8
    padded = np.pad(pixels, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    down, right = draw.integers(0, 2 * reach + 1, (2, count))
    moved = np.stack([padded[i, :, down[i]:down[i] + height, right[i]:right[i] + width] for i in range(count)])
    if flip:
        mirrored = draw.random(count) < 0.5
        moved[mirrored] = moved[mirrored, :, :, ::-1]
    return moved


def read_picture(item: str, channels: int, height: int, width: int, white: int) -> np.ndarray:
    """A picture file as uint8[1, C, H, W], scaled to the net's size.  Raises MXNetError."""
    try:
        from PIL import Image
    except ImportError:
        raise MXNetError("predict: reading pictures needs Pillow, which is not installed; do "
                         "pip install 'mxdl[image]'") from None
    try:
        with Image.open(Path(item)) as picture:
            scaled = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
    except OSError as error:
        raise MXNetError(f"predict: {item}: not a picture that can be read; {error.strerror or error}") from error
    pixels = np.asarray(scaled, np.float32).reshape(height, width, channels).transpose(2, 0, 1)[None]
    return np.rint(pixels * (white / 255)).astype(np.uint8)
