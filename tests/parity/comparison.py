"""Compare arrays, and nests of arrays, of mxdl with those of MXNet and say in one line what differs."""
from __future__ import annotations

import numpy as np

RELATIVE = {"float64": 1e-6, "float32": 1e-5, "float16": 1e-2}
#: rounding noise where values of about 1, as samples hold, cancel
ABSOLUTE = {"float64": 1e-12, "float32": 2e-6, "float16": 1e-3}


def difference(what: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float | None = None,
               scalars_alike: bool = False) -> str | None:
    """None where `ours` equals `theirs` in shape, dtype and values, else a line that names the worst element.

    Floats may differ by tolerance * (|theirs| + the mean of |theirs|) and rounding noise; integers not at all.
    scalars_alike: take () and (1,) for equal shapes (MXNet's legacy operators have no scalars).
    """
    if scalars_alike and {ours.shape, theirs.shape} == {(), (1,)}:
        ours = ours.reshape(theirs.shape)
    if ours.shape != theirs.shape:
        return f"{what}: shape {ours.shape} is {theirs.shape} in MXNet"
    if ours.dtype != theirs.dtype:
        return f"{what}: dtype {ours.dtype} is {theirs.dtype} in MXNet"
    if not ours.size:
        return None
    if not np.issubdtype(ours.dtype, np.floating):
        wrong = ours != theirs
        error = wrong.astype(np.float64)
    else:
        loosened = max((tolerance or 0.0) / RELATIVE["float32"], 1.0)
        relative = max(tolerance or 0.0, RELATIVE[ours.dtype.name] * loosened)
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        size = np.abs(b[np.isfinite(b)])
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0.0, np.abs(a - b))
            close = np.isfinite(b) & (
                error <= relative * (np.abs(b) + (size.mean() if size.size else 0.0)) + ABSOLUTE[ours.dtype.name])
        wrong = ~(same | close)
    if not wrong.any():
        return None
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    return (f"{what}: {int(wrong.sum())} of {wrong.size} elements differ, most at {tuple(map(int, worst))}: "
            f"{ours[worst]!r} is {theirs[worst]!r} in MXNet")


def differences(what: str, ours, theirs, tolerance: float | None = None) -> list[str]:
    """All that differs between two nests of dict, list, array, number and text; numbers compare as float64."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if set(ours) != set(theirs):
            return [f"{what}: keys {sorted(ours)} are {sorted(theirs)} in MXNet"]
        return [line for key in theirs for line in differences(f"{what}[{key!r}]", ours[key], theirs[key], tolerance)]
    if isinstance(theirs, list) and isinstance(ours, (list, tuple)):
        if len(ours) != len(theirs):
            return [f"{what}: {len(ours)} items are {len(theirs)} in MXNet"]
        return [line for i, pair in enumerate(zip(ours, theirs, strict=True))
                for line in differences(f"{what}[{i}]", *pair, tolerance)]
    if _is_number(ours) and _is_number(theirs):
        ours, theirs = np.float64(ours), np.float64(theirs)
        tolerance = max(tolerance or 0.0, RELATIVE["float64"])
    if isinstance(ours, (np.ndarray, np.generic)) and isinstance(theirs, (np.ndarray, np.generic)):
        line = difference(what, np.asarray(ours), np.asarray(theirs), tolerance)
        return [line] if line else []
    return [] if type(ours) is type(theirs) and ours == theirs else [f"{what}: {ours!r} is {theirs!r} in MXNet"]


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
