"""Every key of a recipe, its type, its default and its meaning.

The sections task, model, data, optimizer and schedule hold the `name` of a registered component and that component's
own options (see components.py); the rest is below.
"""
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from .check import Form, NonNegative, Positive, Range

SECTIONS = ("task", "model", "data", "optimizer", "schedule")

Device = Annotated[str, Form(r"auto|(cpu|gpu)(\(\d+\))?", "auto, cpu or gpu(0)")]
Size = Annotated[str, Form(r"\d+(\.\d+)? ?([KMGT]i?)?B", "4GB or 512MiB")]
Share = Annotated[float, Range(at_least=0.001, below=1)]


def key(default, meaning: str):
    """A field with its meaning, which `mxdl describe` prints."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Choice:
    """A component picked by name, with its options."""
    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Train:
    epochs: Positive = key(10, "passes over the training data")
    batch_size: Positive = key(64, "examples (or parallel text streams) a step, over all devices together")
    devices: list[Device] = key(("auto",), "cpu, gpu(0), ...; auto is the first GPU where there is one, otherwise cpu")
    threads: Annotated[int, Range(at_least=0)] = key(0, "CPU threads; 0 leaves the number to OMP_NUM_THREADS")
    hybridize: bool = key(True, "trace the net into a graph and run that")
    mirror: bool | Literal["sqrt", "min"] | Share | Size = key(
        False, "memory mirroring: true recomputes cheap operators in the backward pass, sqrt whole segments, min keeps "
               "the least; 4GB is what the step may take, 0.5 what is left of the activations")
    max_recompute: Annotated[float, Range(at_least=1)] = key(
        1.0, "extra forward passes that memory mirroring may run; 2 or more: segments within segments")
    static: bool = key(True, "keep the buffers of the hybridized net between calls (static_alloc, static_shape)")
    kvstore: Literal["auto", "local", "device", "dist_sync", "dist_device_sync", "dist_async"] = key(
        "auto", "where gradients are summed and weights updated; auto uses one only for several devices; dist_* are "
                "for several workers (mxdl train --launch)")
    clip_norm: NonNegative = key(0.0, "largest norm of the gradient of the mean loss; 0 is no clipping")
    check_nan: bool = key(True, "stop before an update by a loss that is not finite (a GPU is waited for at each step)")


@dataclass(frozen=True)
class Log:
    every: NonNegative = key(1.0, "seconds between two updates of the progress line")
    tensorboard: bool = key(False, "also write TensorBoard event files (needs the package tensorboard)")
    plot: bool = key(True, "draw metrics.png at the end (where matplotlib is installed)")


@dataclass(frozen=True)
class Checkpoint:
    every: Annotated[int, Range(at_least=0)] = key(1, "epochs between two checkpoints; 0 is only at the end")
    keep: Positive = key(1, "how many of the latest to keep, beside the best")


@dataclass(frozen=True)
class Expect:
    """What a full run should reach; `mxdl train --check` fails when it does not."""
    metric: str = key("", "a measure of the task, on the held-out data")
    value: float | None = key(None, "the figure measured when the recipe was written")
    tolerance: NonNegative = key(0.0, "how much worse than `value` still passes")


@dataclass(frozen=True)
class Recipe:
    task: Choice
    model: Choice
    data: Choice
    optimizer: Choice
    schedule: Choice
    summary: str = key("", "one line for `mxdl list`")
    seed: Annotated[int, Range(at_least=0)] = key(1, "of everything random")
    extend: list[str] = key((), "Python files (beside the recipe) that register components of your own")
    export: list[str] = key((), "formats to write into the run's folder at the end: c, js, html, onnx, mxnet, a target")
    train: Train = field(default_factory=Train)
    log: Log = field(default_factory=Log)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    expect: Expect = field(default_factory=Expect)
