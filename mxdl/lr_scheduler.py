"""Learning-rate schedules: functions from the number of updates done to a learning rate, with an optional warm-up.

A schedule here keeps no state, so training that resumes at any update continues exactly.  (MXNet's change their
``base_lr`` as they are called; here ``base_lr`` stays the rate before any decay, and setting it takes effect at once.)
"""
from math import cos, pi


class LRScheduler:
    """Base of all schedules; a schedule of your own defines ``__call__(num_update) -> float``.

    Args:
        base_lr: the rate at the end of the warm-up; an optimizer's ``learning_rate`` overwrites it.
        warmup_steps: number of updates before the schedule proper begins.
        warmup_begin_lr: the rate at update 0 of a warm-up.
        warmup_mode: "linear" rises from warmup_begin_lr to base_lr; "constant" stays at warmup_begin_lr.
    """

    def __init__(self, base_lr: float = 0.01, warmup_steps: int = 0, warmup_begin_lr: float = 0,
                 warmup_mode: str = "linear"):
        if not isinstance(warmup_steps, int) or warmup_steps < 0:
            raise ValueError(f"LRScheduler: warmup_steps must be a whole number >= 0; got {warmup_steps!r}")
        if warmup_begin_lr > base_lr:
            raise ValueError(f"LRScheduler: warmup_begin_lr must not exceed base_lr; got {warmup_begin_lr} > {base_lr}")
        if warmup_mode not in ("linear", "constant"):
            raise ValueError(f"LRScheduler: warmup_mode is 'linear' or 'constant'; got {warmup_mode!r}")
        self.base_lr = base_lr
        self.warmup_steps = warmup_steps
        self.warmup_begin_lr = warmup_begin_lr
        self.warmup_mode = warmup_mode

    @property
    def warmup_final_lr(self) -> float:
        """The rate that a warm-up reaches."""
        return self.base_lr

    def get_warmup_lr(self, num_update: int) -> float:
        """The rate at an update of the warm-up, num_update < warmup_steps."""
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        rise = (self.warmup_final_lr - self.warmup_begin_lr) * float(num_update) / float(self.warmup_steps)
        return self.warmup_begin_lr + rise

    def __call__(self, num_update: int) -> float:
        """The rate for update number `num_update` (the first update is 1)."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(num_update)")


def _check_factor(name: str, factor: float) -> None:
    if factor > 1.0:
        raise ValueError(f"{name}: factor must not exceed 1 (the rate must not grow); got {factor}")


class FactorScheduler(LRScheduler):
    """base_lr * factor ** k after every k * step updates, never under stop_factor_lr."""

    def __init__(self, step: int, factor: float = 1, stop_factor_lr: float = 1e-8, base_lr: float = 0.01,
                 warmup_steps: int = 0, warmup_begin_lr: float = 0, warmup_mode: str = "linear"):
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if step < 1:
            raise ValueError(f"FactorScheduler: step must be at least 1; got {step}")
        _check_factor("FactorScheduler", factor)
        self.step = step
        self.factor = factor
        self.stop_factor_lr = stop_factor_lr

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        num_decays = max(0, (num_update - 1) // self.step)
        if num_decays == 0:
            return self.base_lr
        return max(self.base_lr * self.factor ** num_decays, self.stop_factor_lr)


class MultiFactorScheduler(LRScheduler):
    """base_lr * factor ** (how many entries of the list `step` are behind num_update)."""

    def __init__(self, step: list[int], factor: float = 1, base_lr: float = 0.01, warmup_steps: int = 0,
                 warmup_begin_lr: float = 0, warmup_mode: str = "linear"):
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(step, (list, tuple)) or not step:
            raise ValueError(f"MultiFactorScheduler: step must be a list of update numbers; got {step!r}")
        if any(number < 1 for number in step):
            raise ValueError(f"MultiFactorScheduler: every step must be at least 1; got {step}")
        if any(late <= early for early, late in zip(step, step[1:], strict=False)):
            raise ValueError(f"MultiFactorScheduler: steps must increase; got {step}")
        _check_factor("MultiFactorScheduler", factor)
        self.step = step
        self.factor = factor

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        return self.base_lr * self.factor ** sum(num_update > number for number in self.step)


class _Descent(LRScheduler):
    """From base_lr after the warm-up down to final_lr at update max_update, then constant."""

    def __init__(self, max_update: int, base_lr: float, final_lr: float, warmup_steps: int, warmup_begin_lr: float,
                 warmup_mode: str):
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(max_update, int) or max_update < 1:
            raise ValueError(f"{type(self).__name__}: max_update must be a whole number >= 1; got {max_update!r}")
        self.max_update = max_update
        self.final_lr = final_lr

    @property
    def max_steps(self) -> int:
        """Number of updates from the end of the warm-up to max_update."""
        return self.max_update - self.warmup_steps

    def remaining(self, done: float) -> float:
        """The share of (base_lr - final_lr) that is left when the share `done` of the way is behind."""
        raise NotImplementedError

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        if num_update >= self.max_update:
            return self.final_lr
        done = float(num_update - self.warmup_steps) / float(self.max_steps)
        return self.final_lr + (self.base_lr - self.final_lr) * self.remaining(done)


class PolyScheduler(_Descent):
    """final_lr + (base_lr - final_lr) * (1 - done) ** pwr, done = share of the updates up to max_update."""

    def __init__(self, max_update: int, base_lr: float = 0.01, pwr: float = 2, final_lr: float = 0,
                 warmup_steps: int = 0, warmup_begin_lr: float = 0, warmup_mode: str = "linear"):
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.power = pwr

    def remaining(self, done: float) -> float:
        return (1 - done) ** self.power


class CosineScheduler(_Descent):
    """final_lr + (base_lr - final_lr) * (1 + cos(pi * done)) / 2, done = share of the updates up to max_update."""

    def __init__(self, max_update: int, base_lr: float = 0.01, final_lr: float = 0, warmup_steps: int = 0,
                 warmup_begin_lr: float = 0, warmup_mode: str = "linear"):
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)

    def remaining(self, done: float) -> float:
        return (1 + cos(pi * done)) / 2
