"""Turning mixed precision on, and scaling losses so that small gradients survive in half precision."""
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...autograd.state import state
from ...gluon import Trainer
from ...ndarray import NDArray
from ...ndarray.mixed_precision import use
from ...ops.precision import Condition, Policy
from ...optimizer import Optimizer
from ...types import torch_dtype
from .convert import convert_bucketing_module as convert_bucketing_module
from .convert import convert_hybrid_block as convert_hybrid_block
from .convert import convert_model as convert_model
from .convert import convert_symbol as convert_symbol
from .lists import check_target
from .lists import list_conditional_fp32_ops as list_conditional_fp32_ops
from .lists import list_fp32_ops as list_fp32_ops
from .lists import list_loss_output_functions as list_loss_output_functions
from .lists import list_lp16_fp32_ops as list_lp16_fp32_ops
from .lists import list_lp16_ops as list_lp16_ops
from .lists import list_lp16_use_fp32_params as list_lp16_use_fp32_params
from .lists import list_widest_type_cast as list_widest_type_cast
from .loss_scaler import LossScaler


def init(target_dtype: str = "float16", target_precision_ops: Iterable[str] | None = None,
         conditional_fp32_ops: Iterable[Condition] | None = None, fp32_ops: Iterable[str] | None = None) -> None:
    """Mix precisions from now on, in every thread and in every operator: eager, hybridized and bound.

    The lists take the place of ours (`list_lp16_ops`, `list_conditional_fp32_ops`, `list_fp32_ops`).   A second call
    changes nothing, as in MXNet.   Raises AssertionError for another dtype, OperatorError for an unknown operator.
    """
    policy = Policy(torch_dtype(check_target(str(target_dtype))), target_precision_ops, fp32_ops, conditional_fp32_ops)
    if state.policy is None:
        use(policy)


def uninit() -> None:
    """Back to the inputs' own precisions, which MXNet has no way to.  Trainers keep their loss scalers."""
    use(None)


def init_trainer(optimizer_or_trainer: Trainer) -> None:
    """Give a Trainer a dynamic loss scale: its `step` then skips updates whose gradients are not finite.

    Raises AssertionError before `init`, TypeError for what is no Trainer.
    """
    policy = state.policy
    if policy is None:
        raise AssertionError("amp.init_trainer: mixed precision is not on; call amp.init() first")
    if not isinstance(optimizer_or_trainer, Trainer):
        what = "an Optimizer" if isinstance(optimizer_or_trainer, Optimizer) else type(optimizer_or_trainer).__name__
        raise TypeError(f"amp.init_trainer: only a gluon.Trainer has a step that can be skipped; got {what}; make a "
                        f"Trainer of it")
    trainer = optimizer_or_trainer
    if trainer._amp_loss_scaler is not None:
        return

    def scaled(loss_scale: float) -> None:
        policy.loss_scale = loss_scale
    trainer._amp_loss_scaler = LossScaler(scaled)
    trainer._amp_original_scale = trainer._scale
    scaled(trainer._amp_loss_scaler.loss_scale)


@contextlib.contextmanager
def scale_loss(loss: NDArray | Sequence[NDArray], optimizer_or_trainer: Trainer) -> Iterator[Any]:
    """``with scale_loss(loss, trainer) as scaled: autograd.backward(scaled)``: the loss, or losses, times the trainer's
    scale; its `step` divides by it."""
    scaler = _scaler_of(optimizer_or_trainer, "scale_loss")
    scale = scaler.loss_scale
    optimizer_or_trainer._scale = optimizer_or_trainer._amp_original_scale / scale
    if isinstance(loss, (list, tuple)):
        yield [one * scale for one in loss]
    else:
        yield loss * scale


def unscale(optimizer_or_trainer: Trainer) -> None:
    """Divide the gradients by the scale now (to clip them, say), and no more in `step`."""
    trainer = optimizer_or_trainer
    scale = _scaler_of(trainer, "unscale").loss_scale
    for _, param in trainer._trained():
        for grad in param.list_grad():
            grad *= 1 / scale
    trainer._scale = trainer._amp_original_scale


def _scaler_of(trainer: Any, where: str) -> LossScaler:
    if not isinstance(trainer, Trainer) or trainer._amp_loss_scaler is None:
        raise AssertionError(f"amp.{where}: this trainer has no loss scale; got {type(trainer).__name__}; call "
                             f"amp.init_trainer(trainer) first")
    return trainer._amp_loss_scaler
