"""Which precision each operator wants: what automatic mixed precision (`mx.contrib.amp`) goes by.

The table is the one place that says it.  An operator that is not in it works in whatever its data has; `Policy` turns
classes into dtypes for one call, and eager arrays, traces and graphs all ask it.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import torch

from ..errors import OperatorError, suggest
from . import registry
from .operator import Operator


class Precision(Enum):
    """What becomes of an operator's floating-point inputs."""

    LOW = "low"           # the low precision: bound by multiplications, which hardware does faster there
    FLOAT32 = "float32"   # overflows or loses digits in half precision: exponentials, sums, powers, losses
    WIDEST = "widest"     # several inputs, brought to the widest dtype among them
    EITHER = "either"     # runs in what it is given


LOW, FLOAT32, WIDEST, EITHER = Precision.LOW, Precision.FLOAT32, Precision.WIDEST, Precision.EITHER

#: MXNet 1.9.1's choice for every operator that it lists (tests/parity/test_amp.py asks it); for those that it does not
#: have, or forgot, that of the operator next to it
_TABLE: Mapping[Precision, str] = {
    LOW: "Convolution Deconvolution FullyConnected RNN _FullyConnected_relu _rnn_layer",
    FLOAT32: """
        arccos arcsin arctanh cosh sinh tan erfinv gamma gammaln
        exp expm1 log log10 log1p log2 square reciprocal rsqrt rcbrt smooth_l1
        _power _power_scalar _rpower_scalar broadcast_power _rdiv_scalar _hypot _hypot_scalar broadcast_hypot
        sum _square_sum nansum prod nanprod mean norm moments khatri_rao argsort topk
        softmax softmin log_softmax _log_softmax_pick SoftmaxActivation softmax_cross_entropy
        SoftmaxOutput LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput SVMOutput
        MakeLoss make_loss CTCLoss Custom
        GroupNorm InstanceNorm L2Normalization LRN LayerNorm _contrib_SyncBatchNorm
        _contrib_DeformableConvolution _contrib_ModulatedDeformableConvolution
        _contrib_MultiBoxDetection _contrib_MultiBoxPrior _contrib_MultiBoxTarget
        _linalg_det _linalg_extractdiag _linalg_extracttrian _linalg_gelqf _linalg_gemm _linalg_gemm2 _linalg_inverse
        _linalg_makediag _linalg_maketrian _linalg_potrf _linalg_potri _linalg_slogdet _linalg_sumlogdiag
        _linalg_syevd _linalg_syrk _linalg_trmm _linalg_trsm""",
    WIDEST: """
        Concat stack add_n where dot batch_dot Correlation
        elemwise_add elemwise_sub elemwise_mul elemwise_div
        broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_mod broadcast_maximum broadcast_minimum
        broadcast_equal broadcast_not_equal broadcast_greater broadcast_greater_equal broadcast_lesser
        broadcast_lesser_equal broadcast_logical_and broadcast_logical_or broadcast_logical_xor
        _equal _not_equal _greater _greater_equal _lesser _lesser_equal _logical_and _logical_or _logical_xor
        _maximum _minimum _mod
        _contrib_MultiProposal _contrib_Proposal _contrib_ROIAlign _contrib_box_iou _contrib_box_nms
        _contrib_box_decode _contrib_box_encode _contrib_allclose
        _contrib_interleaved_matmul_encdec_qk _contrib_interleaved_matmul_encdec_valatt
        _contrib_interleaved_matmul_selfatt_qk _contrib_interleaved_matmul_selfatt_valatt
        _random_pdf_dirichlet _random_pdf_exponential _random_pdf_gamma _random_pdf_generalized_negative_binomial
        _random_pdf_negative_binomial _random_pdf_normal _random_pdf_poisson _random_pdf_uniform""",
}
_CLASSES: Mapping[str, Precision] = {name: wanted for wanted, names in _TABLE.items() for name in names.split()}

#: operator -> attribute, and the values of it under which the operator is FLOAT32 (it is EITHER otherwise)
_CONDITIONAL: Mapping[str, tuple[str, frozenset[str]]] = {
    "Activation": ("act_type", frozenset({"softrelu"})),
    "LeakyReLU": ("act_type", frozenset({"elu", "selu"})),
}
#: losses that ignore the gradient which comes from above, so that scaling the loss does not scale their gradient
SCALED_BY_ATTRIBUTE = ("SoftmaxOutput", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput")

#: the dtypes that mixed precision chooses among; all others stay as they are
_MIXED = (torch.float16, torch.bfloat16, torch.float32)

#: (operator, attribute, values of it): under these the operator is FLOAT32, as `conditions` lists them
Condition = tuple[str, str, Sequence[str]]


class Policy:
    """Casts of one way to mix precisions.

    target: the low precision's dtype.   low, float32, conditional: operators, by any of their names, in the place of
    those of the table's classes; None: the table's.   loss_scale: what losses that ignore the gradient from above
    multiply theirs by.   Raises OperatorError for an operator that is not known, or in two of the lists.
    """

    def __init__(self, target: torch.dtype, low: Iterable[str] | None = None, float32: Iterable[str] | None = None,
                 conditional: Iterable[Condition] | None = None):
        self.target = target
        self.loss_scale = 1.0
        given = {wanted: {registry.get(name).name for name in names}
                 for wanted, names in ((LOW, low), (FLOAT32, float32)) if names is not None}
        twice = given.get(LOW, set()) & given.get(FLOAT32, set())
        if twice:
            raise OperatorError(f"amp: an operator has one precision; got {', '.join(sorted(twice))} for {target} and "
                                f"float32; leave it out of one list")
        self._classes = {name: wanted for name, wanted in _CLASSES.items() if wanted not in given}
        for wanted, names in given.items():
            self._classes |= dict.fromkeys(names, wanted)
        self._conditions: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for name, attribute, values in conditions() if conditional is None else conditional:
            op = registry.get(name)
            if attribute not in op.attributes:
                raise OperatorError(f"amp: {op.name} has no attribute {attribute!r}; it has {', '.join(op.attributes)}"
                                    f"{suggest(attribute, op.attributes)}")
            self._conditions.setdefault(op.name, []).append((attribute, frozenset(values)))

    def precision(self, op: Operator, attrs: Mapping[str, Any]) -> Precision:
        """The class of `op` with these typed attributes."""
        conditional = self._conditions.get(op.name)
        if conditional is not None:
            filled = op.filled(attrs)
            if any(str(filled.get(attribute)) in values for attribute, values in conditional):
                return FLOAT32
        return self._classes.get(op.name, EITHER)

    def dtypes(self, op: Operator, attrs: Mapping[str, Any], given: Sequence[torch.dtype | None],
               wanted: Precision | None = None) -> list[torch.dtype | None] | None:
        """For each input the dtype to cast it to, None where it stays; None for the whole where all stay.

        given: the dtypes of the inputs, None for an input that is not given.   wanted: the class, where it is not the
        operator's.   Inputs that the operator overwrites (states) are never cast, nor are integers and float64.
        """
        wanted = self.precision(op, attrs) if wanted is None else wanted
        if wanted is EITHER:
            return None
        target = self.target if wanted is LOW else torch.float32 if wanted is FLOAT32 else widest(given)
        casts = [target if dtype in _MIXED and dtype is not target else None for dtype in given]
        if op.updates:
            names = op.parameters if len(given) == len(op.parameters) else op.input_names(op.filled(attrs), len(given))
            casts = [None if name in op.updates.values() else cast for name, cast in zip(names, casts, strict=True)]
        return casts if any(casts) else None

    def scaled(self, op: Operator, attrs: Mapping[str, Any]) -> Mapping[str, Any]:
        """`attrs` with the loss scale in it, where scaling the loss would not scale the gradient."""
        if self.loss_scale == 1 or not is_scaled_by_attribute(op):
            return attrs
        return {**attrs, "grad_scale": op.filled(attrs)["grad_scale"] * self.loss_scale}


def is_scaled_by_attribute(op: Operator) -> bool:
    """Whether the gradient of `op` ignores what comes from above, and has a factor of its own."""
    return op.name in SCALED_BY_ATTRIBUTE


def widest(dtypes: Iterable[torch.dtype | None]) -> torch.dtype | None:
    """The widest floating-point dtype among these; float32 for the two halves together, None where there is none."""
    floats = {dtype for dtype in dtypes if dtype is not None and dtype.is_floating_point}
    if floats == {torch.float16, torch.bfloat16}:
        return torch.float32
    return max(floats, key=lambda dtype: dtype.itemsize, default=None)


def names_of(wanted: Precision) -> list[str]:
    """The names, aliases too, of the operators of a class, without those that are FLOAT32 for some attributes only."""
    return [name for name, op in registry.items()
            if _CLASSES.get(op.name, EITHER) is wanted and op.name not in _CONDITIONAL]


def conditions() -> list[Condition]:
    """(operator, attribute, values under which it is FLOAT32)."""
    return [(name, attribute, sorted(values)) for name, (attribute, values) in _CONDITIONAL.items()]
