"""The dynamic loss scale: as large as gradients in half precision bear it."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from ...gluon import Parameter
from ...ndarray.invoke import invoke_by_name


class LossScaler:
    """A factor on the loss that keeps small gradients from becoming 0 in float16: 2**16 at first, halved after each
    step whose gradients overflowed, doubled after 2000 steps that did not, 2**24 at most.

    notify: is told each new scale.
    """

    def __init__(self, notify: Callable[[float], None] | None = None):
        self._scale = 2.0 ** 16
        self._max_scale = 2.0 ** 24
        self._steps_to_double = 2000
        self._good_steps = 0
        self._notify = notify

    @property
    def loss_scale(self) -> float:
        return self._scale

    def has_overflow(self, params: Iterable[Parameter]) -> bool:
        """Whether a gradient of `params` is not finite; sets the scale of the next step accordingly.  The contexts'
        gradients are asked apart, and the processor waits for each context once."""
        by_context: dict = {}
        for param in params:
            if param.grad_req != "null":
                for grad in param.list_grad():
                    by_context.setdefault(grad.context, []).append(grad)
        found = [invoke_by_name("multi_all_finite", *grads, num_arrays=len(grads)) for grads in by_context.values()]
        overflows = not all(flag.asscalar() for flag in found)
        self._set_next(overflows)
        return overflows

    def _set_next(self, overflows: bool) -> None:
        self._good_steps = 0 if overflows else self._good_steps + 1
        if overflows:
            self._scale /= 2
        elif self._good_steps == self._steps_to_double:
            self._good_steps = 0
            self._scale = min(2 * self._scale, self._max_scale)
        if self._notify is not None:
            self._notify(self._scale)
