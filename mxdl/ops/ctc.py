"""CTCLoss: connectionist temporal classification (Graves 2006).

Letters: T steps, N samples, C classes with the blank among them, L places for labels.
"""
from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from ..errors import ShapeError
from ..types import TensorType
from .operator import operator
from .samples import Sample
from .traits import COSTLY, Traits

#: blank last: classes 0 to 2 are labels, 3 is the blank
LABELS = np.array([[1, 2, -1], [2, 0, 0]], "float32")


@operator("CTCLoss", aliases=("ctc_loss", "_contrib_CTCLoss", "_contrib_ctc_loss"), traits=Traits(recompute=COSTLY),
          mxnet_outputs=2,
          samples=[Sample((5, 2, 4), np.array([[1, 2, 0], [3, 3, 0]], "float32"), differentiable=(0,)),
                   Sample((5, 2, 4), LABELS, blank_label="last", differentiable=(0,)),
                   Sample((5, 2, 4), LABELS, np.array([4, 5], "float32"), np.array([1, 3], "float32"),
                          blank_label="last", use_data_lengths=True, use_label_lengths=True, differentiable=(0,)),
                   Sample((5, 2, 4), LABELS, np.array([2, 3], "float32"), blank_label="last", use_label_lengths=True,
                          differentiable=(0,))])
def ctc_loss(data, label, data_lengths=None, label_lengths=None, *, use_data_lengths: bool = False,
             use_label_lengths: bool = False, blank_label: Literal["first", "last"] = "first"):
    """-log of the probability that softmax(data) spells `label`, over all alignments; 0 where it cannot.

    data: float[T, N, C];   label: number[N, L], after its end 0 (blank first) or -1 (blank last)
    data_lengths, label_lengths: number[N];   out: float[N]
    """
    blank = 0 if blank_label == "first" else data.shape[2] - 1
    padding = 0 if blank_label == "first" else -1
    if label.shape[1] > data.shape[0]:
        raise ShapeError(f"CTCLoss: more labels than steps; got label{list(label.shape)} for data{list(data.shape)}; "
                         f"give longer sequences or fewer label places")
    target = label.long()
    if not use_label_lengths:
        label_lengths = (target != padding).long().cumprod(1).sum(1)
    if not use_data_lengths:
        data_lengths = torch.full((data.shape[1],), data.shape[0], dtype=torch.long, device=data.device)
    return torch.nn.functional.ctc_loss(data.log_softmax(2), target.clamp(min=0), data_lengths.long(),
                                        label_lengths.long(), blank=blank, reduction="none", zero_infinity=True)


@ctc_loss.inputs
def _(attrs):
    names = ["data", "label"]
    names += ["data_lengths"] if attrs["use_data_lengths"] else []
    return names + (["label_lengths"] if attrs["use_label_lengths"] else [])


@ctc_loss.infer
def _(inputs, attrs):
    return [TensorType((inputs[0].shape[1],), inputs[0].dtype)]
