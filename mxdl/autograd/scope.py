"""Scopes: when operators go on the tape, and whether they train."""
from __future__ import annotations

import torch

from .state import state


def is_recording() -> bool:
    return state.recording


def is_training() -> bool:
    return state.training


def set_recording(flag: bool) -> bool:
    """Switch recording; returns what it was."""
    before, state.recording = state.recording, bool(flag)
    return before


def set_training(flag: bool) -> bool:
    """Switch training mode; returns what it was."""
    before, state.training = state.training, bool(flag)
    return before


class _Scope:
    """Set recording and training inside a ``with``; None leaves one as it is."""

    __slots__ = ("_before", "_recording", "_training")

    def __init__(self, recording: bool | None, training: bool | None):
        self._recording, self._training = recording, training
        self._before: list[tuple] = []

    def __enter__(self) -> None:
        self._before.append((state.recording, state.training, torch.is_grad_enabled()))
        if self._recording is not None:
            state.recording = self._recording
            if self._recording:
                torch.set_grad_enabled(True)   # inside torch.no_grad() too: record() says what is wanted
        if self._training is not None:
            state.training = self._training

    def __exit__(self, *exc: object) -> None:
        state.recording, state.training, grad_enabled = self._before.pop()
        if self._recording:
            torch.set_grad_enabled(grad_enabled)


def record(train_mode: bool = True) -> _Scope:
    """Operators inside go on the tape; training mode unless told otherwise."""
    return _Scope(True, train_mode)


def pause(train_mode: bool = False) -> _Scope:
    """Operators inside do not go on the tape."""
    return _Scope(False, train_mode)


def train_mode() -> _Scope:
    return _Scope(None, True)


def predict_mode() -> _Scope:
    return _Scope(None, False)
