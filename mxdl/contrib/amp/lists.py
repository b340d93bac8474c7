"""Which operators run in which precision, as MXNet's functions tell it; the table is `mxdl/ops/precision.py`."""
from __future__ import annotations

from ...ops.precision import EITHER, FLOAT32, LOW, SCALED_BY_ATTRIBUTE, WIDEST, Condition, conditions, names_of

TARGETS = ("float16", "bfloat16")


def list_lp16_ops(target_dtype: str) -> list[str]:
    """Those that run in `target_dtype`."""
    return names_of(LOW) if check_target(target_dtype) else []


def list_fp32_ops(target_dtype: str) -> list[str]:
    """Those that run in float32."""
    return names_of(FLOAT32) if check_target(target_dtype) else []


def list_lp16_fp32_ops(target_dtype: str) -> list[str]:
    """Those that run in what they are given."""
    return names_of(EITHER) if check_target(target_dtype) else []


def list_widest_type_cast(target_dtype: str) -> list[str]:
    """Those whose inputs are brought to the widest dtype among them."""
    return names_of(WIDEST) if check_target(target_dtype) else []


def list_conditional_fp32_ops(target_dtype: str) -> list[Condition]:
    """(operator, attribute, values of it under which the operator runs in float32)"""
    return conditions() if check_target(target_dtype) else []


def list_loss_output_functions(target_dtype: str) -> list[str]:
    """Losses whose gradient takes the loss scale from an attribute, because it ignores what comes from above."""
    return list(SCALED_BY_ATTRIBUTE) if check_target(target_dtype) else []


def list_lp16_use_fp32_params(target_dtype: str) -> None:
    """None: parameters of the other operators keep their dtype whatever the data's is."""
    check_target(target_dtype)


def check_target(target_dtype: str) -> str:
    """`target_dtype`.  Raises AssertionError, as MXNet does, for what is no low precision."""
    if target_dtype not in TARGETS:
        raise AssertionError(f"amp: no low precision; got target_dtype={target_dtype!r}; use float16 or bfloat16")
    return target_dtype
