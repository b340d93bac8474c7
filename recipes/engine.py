"""A net with its optimizer on its devices: one step, one evaluation, saving and loading its arrays."""
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mxdl as mx
from mxdl.errors import DeviceError, MXNetError

from .components import build
from .diagnose import first_not_finite
from .schema import Recipe, Train
from .task import Batch, Task, generator
from .workers import Workers

Sums = dict[str, tuple[float, float]]


class NotFinite(MXNetError, FloatingPointError):
    """The loss became NaN or infinite.  Fix: a smaller learning rate, a warm-up, or train.clip_norm."""


def contexts(names: tuple[str, ...]) -> list:
    """The devices that `train.devices` names.  Raises DeviceError for one that is not here."""
    found = []
    for name in names:
        kind, _, number = name.partition("(")
        if kind == "auto":
            kind = "gpu" if mx.num_gpus() else "cpu"
        found.append(mx.Context(kind, int(number.rstrip(")") or 0)))
        if kind == "gpu" and found[-1].device_id >= mx.num_gpus():
            raise DeviceError(f"train.devices: {found[-1]} is not here; this machine has {mx.num_gpus()} GPUs")
    return found


def seed_everything(*seeds: int) -> None:
    """Makes all randomness from here on a function of `seeds`: called before each step, so nothing has to be saved."""
    number = int(generator(*seeds).integers(2**31))
    mx.random.seed(number)
    np.random.seed(number)


def add(sums: Sums, more: Sums) -> None:
    for name, (total, count) in more.items():
        old_total, old_count = sums.get(name, (0.0, 0.0))
        sums[name] = (old_total + total, old_count + count)


def report(task: Task, sums: Sums) -> dict[str, float]:
    """What is shown of sums, in the order of the task's measures; NaN where nothing was counted yet."""
    means = {name: total / count if count else math.nan for name, (total, count) in {"loss": (0, 0), **sums}.items()}
    shown = task.report(means)
    return {name: shown[name] for name in task.measures if name in shown}


def place(batch: Batch, devices: list, axis: int) -> list[tuple]:
    """(data, label) arrays, one pair a device that gets some, divided along `axis`."""
    return [tuple(mx.nd.array(piece, ctx=context, dtype=piece.dtype) for piece in pair)
            for context, *pair in zip(devices, np.array_split(batch.data, len(devices), axis),
                                      np.array_split(batch.label, len(devices), axis), strict=True) if pair[1].size]


def example_inputs(task: Task, device) -> list:
    """One input of the net as arrays."""
    return [mx.nd.array(part, ctx=device, dtype=part.dtype) for part in task.example()]


def make_net(task: Task, train: Train, devices: list, weights: Path | None = None):
    """The task's net on its devices: every parameter made (or loaded), and hybridized if the recipe says so."""
    if train.threads:
        torch.set_num_threads(train.threads)
    seed_everything(task.recipe.seed)
    net = task.build()
    if weights:
        net.load_parameters(str(weights), ctx=devices)
    else:
        net.initialize(task.initializer(), ctx=devices)
    net(*example_inputs(task, devices[0]))  # the shapes of all parameters are known from here on
    if train.hybridize:
        net.hybridize(static_alloc=train.static, static_shape=train.static, mirror=train.mirror,
                      max_recompute=train.max_recompute)
    return net


class Engine:
    """Runs the steps of a task."""

    def __init__(self, task: Task, recipe: Recipe, devices: list):
        self.task, self.recipe, self.devices = task, recipe, devices
        self.net = make_net(task, recipe.train, devices)
        optimizer = build("optimizer", recipe.optimizer)
        epoch_steps = task.num_batches("train")
        self.rate = build("schedule", recipe.schedule, optimizer.learning_rate, epoch_steps, recipe.train.epochs)
        store = "device" if recipe.train.kvstore == "auto" else mx.kv.create(recipe.train.kvstore)
        self.workers = Workers(store if "dist" in recipe.train.kvstore else None)
        self.workers.check(task)
        # each keeps the whole optimizer; an elastic store does too, and hands it to newcomers
        in_step = not (self.workers.is_alone or self.workers.at_own_pace or self.workers.is_elastic)
        self.trainer = mx.gluon.Trainer(self.net.collect_params(), optimizer, kvstore=store,
                                        update_on_kvstore=False if recipe.train.clip_norm or in_step else None)

    def step(self, number: int, batch: Batch, whole_size: int | None = None) -> tuple[list, Sums]:
        """One update of the weights.  Returns the losses, one a device and not yet read, and the other measures.

        whole_size: of the batch of which `batch` is this worker's part.

        Raises NotFinite before the update, where train.check_nan asks for it: the weights are then still good.
        """
        seed_everything(self.recipe.seed, number)
        self.trainer.set_learning_rate(self.rate(number))
        losses, sums = [], {}
        # servers divide by one number for good, so a batch of another size gets its weight here
        share = 1.0 if self.workers.is_alone else self.recipe.train.batch_size / (whole_size or batch.size)
        size = batch.size if self.workers.is_alone else self.recipe.train.batch_size
        for slot, (data, label) in enumerate(place(batch, self.devices, self.task.batch_axis)):
            with mx.autograd.record():
                loss, outputs = self.task.loss(self.net, data, label, slot)
                head = loss if share == 1.0 else loss * share
            head.backward()
            if self.recipe.train.check_nan and not math.isfinite(loss.asscalar()):
                where = first_not_finite(self.task, self.net, data, label, slot)
                raise NotFinite(f"the loss is {loss.asscalar()} at step {number}; first not finite: {where}; lower "
                                f"optimizer.learning_rate, add schedule.warmup_epochs or set train.clip_norm")
            losses.append(loss.detach())  # a loss that is kept would keep what its graph saved
            add(sums, self.task.measure(outputs, label))
        if self.recipe.train.clip_norm:
            self._clipped_update(size)
        else:
            self.trainer.step(size)
        return losses, sums

    def _clipped_update(self, size: int) -> None:
        self.trainer.allreduce_grads()
        weights = [p for p in self.net.collect_params().values() if p.grad_req != "null"]
        for context in self.devices:
            mx.gluon.utils.clip_global_norm([p.grad(context) for p in weights], self.recipe.train.clip_norm * size,
                                            check_isfinite=False)
        self.trainer.update(size)

    def evaluate(self, split: str = "valid") -> dict[str, float]:
        """The task's report over a whole split."""
        return evaluate(self.task, self.net, self.devices, split)

    def write(self, folder: Path) -> None:
        """The arrays of a checkpoint."""
        self.net.save_parameters(str(folder / "model.params"))
        if self.workers.is_elastic:      # the first worker writes alone: the others may be dying
            (folder / "trainer.states").write_bytes(self.workers.optimizer_states())
        else:
            self.trainer.save_states(str(folder / "trainer.states"))
        if carried := self.task.carried():
            mx.nd.save(str(folder / "carried.params"), carried)

    def read(self, folder: Path) -> dict[str, Any]:
        """Takes back what `write` wrote; returns the carried arrays, which `Task.restore` wants within an epoch."""
        self.net.load_parameters(str(folder / "model.params"), ctx=self.devices)
        if not self.workers.is_replacement:
            self.trainer.load_states(str(folder / "trainer.states"))
        carried = folder / "carried.params"
        return mx.nd.load(str(carried)) if carried.exists() else {}


def evaluate(task: Task, net, devices: list, split: str) -> dict[str, float]:
    """The task's report over a whole split."""
    sums: Sums = {}
    task.start_epoch(net, task.recipe.train.batch_size, devices)
    for batch in task.batches(split, 0):
        for slot, (data, label) in enumerate(place(batch, devices, task.batch_axis)):
            loss, outputs = task.loss(net, data, label, slot)
            add(sums, {"loss": (float(loss.asscalar()), float(label.size)), **task.measure(outputs, label)})
    return report(task, sums)
