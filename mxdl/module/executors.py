"""A symbol bound on every device, each with its part of the batch."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..device import Context
from ..executor.bound import Executor
from ..ndarray.ndarray import NDArray
from ..symbol.symbol import Symbol
from .arrays import average, batch_axis, batch_slices, descriptions, merged, part, shape_of


class ExecutorGroup:
    """One executor a device.

    data_shapes, label_shapes: descriptions (name, shape, ...) of a whole batch.   requests: gradient request by
    argument name.   shared: another group whose arrays of the same name and shape are used (bucketing).
    """

    def __init__(self, symbol: Symbol, contexts: Sequence[Context], data_shapes: Sequence[Any],
                 label_shapes: Sequence[Any], requests: Mapping[str, str], shared: ExecutorGroup | None = None):
        self.symbol, self.contexts, self.requests = symbol, list(contexts), dict(requests)
        self.data_shapes, self.label_shapes = descriptions(data_shapes), descriptions(label_shapes)
        self._axis = {shape_of(d)[0]: batch_axis(d) for d in (*self.data_shapes, *self.label_shapes)}
        first_axis = max(batch_axis(self.data_shapes[0]), 0) if self.data_shapes else 0
        self.batch_size = shape_of(self.data_shapes[0])[1][first_axis] if self.data_shapes else 0
        self.slices = batch_slices(self.batch_size, len(self.contexts))
        dtypes = {d.name: d.dtype for d in (*self.data_shapes, *self.label_shapes)}
        self.executors: list[Executor] = []
        for i, context in enumerate(self.contexts):
            shapes = {name: self._part_shape(name, shape, i) for name, shape in
                      map(shape_of, (*self.data_shapes, *self.label_shapes)) if name in symbol.list_inputs()}
            known = {name: dtype for name, dtype in dtypes.items() if name in shapes}
            other = shared.executors[i] if shared is not None else None
            self.executors.append(symbol.simple_bind(context, grad_req=self.requests, type_dict=known,
                                                     shared_exec=other, **shapes))

    def _part_shape(self, name: str, shape: tuple[int, ...], device: int) -> tuple[int, ...]:
        axis, cut = self._axis[name], self.slices[device]
        return shape if axis < 0 else (*shape[:axis], cut.stop - cut.start, *shape[axis + 1:])

    # -- running ----------------------------------------------------------------------------------------------
    def forward(self, data: Sequence[Any], labels: Sequence[Any], is_train: bool) -> None:
        """Cut the batch over the devices and run each."""
        named = [*zip(map(shape_of, self.data_shapes), data, strict=True),
                 *zip(map(shape_of, self.label_shapes), labels, strict=False)]
        for cut, executor in zip(self.slices, self.executors, strict=True):
            values = {name: part(array, self._axis[name], cut) for (name, _), array in named
                      if name in executor.arg_dict}
            executor.forward(is_train=is_train, **values)

    def backward(self, out_grads: Sequence[NDArray] | None) -> None:
        """Gradients on every device; `out_grads` are those of the whole batch."""
        for cut, executor in zip(self.slices, self.executors, strict=True):
            executor.backward(None if out_grads is None else [part(g, 0, cut) for g in out_grads])

    def outputs(self, merge: bool = True) -> list:
        """The outputs of the last forward: merged over devices, or a list per device."""
        per_output = list(zip(*(e.outputs for e in self.executors), strict=True))
        return [merged(arrays) for arrays in per_output] if merge else [list(arrays) for arrays in per_output]

    def input_grads(self, names: Sequence[str], merge: bool = True) -> list:
        """Gradients of the inputs, merged over devices or a list per device."""
        per_input = [[e.grad_dict[name] for e in self.executors] for name in names]
        return [merged(arrays, max(self._axis[name], 0)) for name, arrays in zip(names, per_input, strict=True)] \
            if merge else per_input

    def update_metric(self, metric: Any, label_names: Sequence[str], labels: Sequence[NDArray],
                      pre_sliced: bool = False) -> None:
        """Show the metric each device's outputs with its part of the labels."""
        names = self.symbol.list_outputs()
        for i, (cut, executor) in enumerate(zip(self.slices, self.executors, strict=True)):
            given = labels[i] if pre_sliced else [
                part(label, self._axis.get(name, 0), cut) for name, label in zip(label_names, labels, strict=False)]
            metric.update_dict(dict(zip(label_names, given, strict=False)),
                               dict(zip(names, executor.outputs, strict=True)))

    # -- arrays -----------------------------------------------------------------------------------------------
    def arrays(self, names: Sequence[str]) -> list[list[NDArray]]:
        """For each name its array on every device."""
        return [[self._array(e, name) for e in self.executors] for name in names]

    def grads(self, names: Sequence[str]) -> list[list[NDArray | None]]:
        """For each name its gradient on every device."""
        return [[e.grad_dict[name] for e in self.executors] for name in names]

    @staticmethod
    def _array(executor: Executor, name: str) -> NDArray:
        return executor.arg_dict[name] if name in executor.arg_dict else executor.aux_dict[name]

    def averages(self, names: Sequence[str]) -> dict[str, NDArray]:
        """Each array as one: itself on one device, the mean over several."""
        return {name: found[0] if len(found) == 1 else average(found)
                for name, found in zip(names, self.arrays(names), strict=True)}

    def assign(self, values: Mapping[str, NDArray]) -> None:
        """Write values into the arrays of those names, on every device."""
        for executor in self.executors:
            args = {k: v for k, v in values.items() if k in executor.arg_dict}
            executor.copy_params_from(args, {k: v for k, v in values.items() if k in executor.aux_dict})

    def install_monitor(self, monitor: Any) -> None:
        """Let a Monitor watch every executor."""
        for executor in self.executors:
            monitor.install(executor)
