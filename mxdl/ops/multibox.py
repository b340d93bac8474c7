"""Single-shot detection: prior boxes, training targets, detections.

Letters: B batch, A anchors, L labels a picture, C classes without the background.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from .boxes import overlap, to_centers
from .c_text import c_text
from .families import c_literal
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, COSTLY, Traits
from .work_c import with_work

_COSTLY = Traits(recompute=COSTLY)
_VARIANCES = (0.1, 0.1, 0.2, 0.2)
_ANCHORS = np.array([[[0.05, 0.1, 0.5, 0.55], [0.125, 0.125, 0.375, 0.375], [-0.1, 0.07, 0.6, 0.43],
                      [0.5, 0, 1, 0.5], [0.55, 0.5, 0.95, 0.9], [0, 0.5, 0.5, 1]]], "float32")
_LABELS = np.array([[[1, 0.1, 0.1, 0.5, 0.5], [0, 0.6, 0.5, 0.9, 0.95], [-1, -1, -1, -1, -1]],
                    [[2, 0, 0.1, 0.9, 0.5], [-1, -1, -1, -1, -1], [-1, -1, -1, -1, -1]]], "float32")


@operator("_contrib_MultiBoxPrior", aliases=("_npx_multibox_prior",),
          traits=Traits(recompute=CHEAP, shape_only=(0,)), gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((1, 3, 2, 3), sizes=(0.5, 0.25), ratios=(1.0, 2.0, 0.5)),
                   Sample((2, 1, 2, 2), sizes=(0.9,), ratios=(2.0, 3.0), clip=True, steps=(0.4, 0.3),
                          offsets=(0.1, 0.2))])
def multibox_prior(data, *, sizes: tuple[float, ...] = (1.0,), ratios: tuple[float, ...] = (1.0,), clip: bool = False,
                   steps: tuple[float, ...] = (-1.0, -1.0), offsets: tuple[float, ...] = (0.5, 0.5)):
    """Corner boxes around each cell of a feature map: every size with the first ratio, the first size with the others.

    data: [N, C, H, W], of which only H and W matter;   out: float32[1, H W (sizes + ratios - 1), 4] in [0, 1] units
    steps, offsets: (y, x), the distance of cells (default 1 / H, 1 / W) and where in a cell its box stands.
    """
    height, width = data.shape[2:]
    step_y, step_x = steps if steps[0] > 0 and steps[1] > 0 else (1 / height, 1 / width)
    y = (torch.arange(height, device=data.device, dtype=torch.float32) + offsets[0]) * step_y
    x = (torch.arange(width, device=data.device, dtype=torch.float32) + offsets[1]) * step_x
    first = math.sqrt(ratios[0])
    shapes = [(size * first, size / first) for size in sizes]
    shapes += [(sizes[0] * math.sqrt(ratio), sizes[0] / math.sqrt(ratio)) for ratio in ratios[1:]]
    half = torch.tensor([(w * height / width / 2, h / 2) for w, h in shapes], device=data.device)
    middle = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None]
    out = torch.cat([middle - half, middle + half], -1).reshape(1, -1, 4)
    return out.clamp(0, 1) if clip else out


@operator("_contrib_MultiBoxTarget", aliases=("_npx_multibox_target",), traits=_COSTLY, num_outputs=3,
          gradient=NOT_DIFFERENTIABLE, output_names=("loc_target", "loc_mask", "cls_target"),
          samples=[Sample(_ANCHORS, _LABELS, (2, 4, 6), resizable=False),
                   Sample(_ANCHORS, _LABELS, (2, 4, 6), overlap_threshold=0.3, resizable=False),
                   Sample(_ANCHORS, _LABELS, (2, 4, 6), negative_mining_ratio=2.0, variances=(0.2, 0.2, 0.1, 0.1),
                          resizable=False),
                   Sample(_ANCHORS, _LABELS, (2, 4, 6), negative_mining_ratio=1.0, minimum_negative_samples=3,
                          ignore_label=-2.0, resizable=False, parity="MXNet ignores minimum_negative_samples")])
def multibox_target(anchor, label, cls_pred, *, overlap_threshold: float = 0.5, ignore_label: float = -1.0,
                    negative_mining_ratio: float = -1.0, negative_mining_thresh: float = 0.5,
                    minimum_negative_samples: int = 0, variances: tuple[float, ...] = _VARIANCES):
    """What each anchor should predict.

    anchor: float[1, A, 4] corners;   label: float[B, L, 5+], rows (class, box), -1 after the last;
    cls_pred: float[B, C + 1, A], which under negative_mining_ratio > 0 tells the hardest negatives
    outs: offsets float[B, 4 A], their masks float[B, 4 A], classes float[B, A] (0 background, 1... the labels')
    """
    batch, anchors = label.shape[0], anchor.shape[1]
    offsets, masks = label.new_zeros((batch, 4 * anchors)), label.new_zeros((batch, 4 * anchors))
    classes = label.new_full((batch, anchors), ignore_label)
    if label.is_meta:
        return offsets, masks, classes
    for i in range(batch):
        ended = (label[i, :, 0] == -1).nonzero()
        truth = label[i, :int(ended[0])] if len(ended) else label[i]
        if not len(truth):
            continue
        overlaps = overlap(anchor[0][:, None], truth[None, :, 1:5])
        match, best = _matches(overlaps.float().cpu().numpy(), overlap_threshold)
        positive = torch.from_numpy(match >= 0).to(label.device)
        if negative_mining_ratio > 0:
            wanted = max(int(positive.sum() * negative_mining_ratio), minimum_negative_samples)
            background = torch.softmax(cls_pred[i].float(), 0)[0].cpu().numpy()
            negative = _hardest(background, (match < 0) & (best < negative_mining_thresh),
                                min(wanted, anchors - int(positive.sum())))
            classes[i, torch.from_numpy(negative).to(label.device)] = 0
        else:
            classes[i] = 0
        matched = truth[torch.from_numpy(match.clip(0)).to(label.device)]
        classes[i] = torch.where(positive, matched[:, 0] + 1, classes[i])
        theirs, own = to_centers(matched[:, 1:5]), to_centers(anchor[0])
        found = torch.cat([(theirs[:, :2] - own[:, :2]) / own[:, 2:], torch.log(theirs[:, 2:] / own[:, 2:])], 1)
        found = torch.where(positive[:, None], found / found.new_tensor(variances), 0)
        offsets[i], masks[i] = found.flatten(), positive[:, None].expand(-1, 4).flatten()
    return offsets, masks, classes


def _matches(overlaps: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Each anchor's label (-1: none) and its largest overlap: first every label gets its best free anchor, then every
    anchor left its best label above `threshold`.  overlaps: float[A, L]"""
    match, best = np.full(len(overlaps), -1), overlaps.max(1)
    free = overlaps.copy()
    for _ in range(min(overlaps.shape)):
        i, j = np.unravel_index(free.argmax(), free.shape)
        if free[i, j] <= 1e-6:
            break
        match[i] = j
        free[i], free[:, j] = -1, -1
    rest = (match < 0) & (best > threshold)
    match[rest] = overlaps[rest].argmax(1)
    return match, best


def _hardest(background: np.ndarray, candidate: np.ndarray, count: int) -> np.ndarray:
    """The `count` candidates that look least like background."""
    places = candidate.nonzero()[0]
    return places[np.argsort(background[places], kind="stable")][:count]


@operator("_contrib_MultiBoxDetection", aliases=("_npx_multibox_detection",), traits=_COSTLY,
          gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 4, 6), (2, 24), _ANCHORS, low=0, resizable=False, **attrs) for attrs in (
              {}, {"nms_threshold": 0.2, "force_suppress": True}, {"nms_topk": 3},
              {"threshold": 0.9, "clip": False, "variances": (0.2, 0.2, 0.1, 0.1)})])
def multibox_detection(cls_prob, loc_pred, anchor, *, clip: bool = True, threshold: float = 0.01,
                       background_id: int = 0, nms_threshold: float = 0.5, force_suppress: bool = False,
                       variances: tuple[float, ...] = _VARIANCES, nms_topk: int = -1):
    """Rows (class, score, corner box) by falling score; class -1 where a better box hides this one.

    cls_prob: float[B, C + 1, A], the background's first;   loc_pred: float[B, 4 A];   anchor: float[1, A, 4]
    out: float[B, A, 6]; rows of -1 stand for anchors without a class above `threshold`
    """
    out = cls_prob.new_full((len(cls_prob), anchor.shape[1], 6), -1)
    if out.is_meta:
        return out
    boxes = _decoded(loc_pred.reshape(len(out), -1, 4), to_centers(anchor), variances, clip)
    scores, classes = cls_prob[:, 1:].max(1)
    for i in range(len(out)):
        found = (scores[i] >= threshold).nonzero()[:, 0]
        rows = torch.cat([classes[i, found, None].to(out.dtype), scores[i, found, None], boxes[i, found]], 1)
        count = len(rows) if nms_topk < 0 else min(nms_topk, len(rows))
        order = rows[:, 1].argsort(descending=True, stable=True)[:count]
        best = rows[order]
        rows[count:, 0] = -1
        best[torch.from_numpy(_hidden(best.cpu(), nms_threshold, force_suppress)).to(out.device), 0] = -1
        rows[:count] = best
        out[i, :len(rows)] = rows
    return out


def _decoded(offsets: torch.Tensor, anchors: torch.Tensor, variances: Sequence[float], clip: bool) -> torch.Tensor:
    scaled = offsets * offsets.new_tensor(variances)
    middle = scaled[..., :2] * anchors[..., 2:] + anchors[..., :2]
    half = torch.exp(scaled[..., 2:]) * anchors[..., 2:] / 2
    boxes = torch.cat([middle - half, middle + half], -1)
    return boxes.clamp(0, 1) if clip else boxes


def _hidden(rows: torch.Tensor, threshold: float, force_suppress: bool) -> np.ndarray:
    """Which rows, best first, a better one (of their class) overlaps by `threshold` or more: bool[N]"""
    hidden, classes = np.zeros(len(rows), bool), rows[:, 0].numpy()
    for i in range(len(rows)):
        if not hidden[i]:
            near = (overlap(rows[i, 2:], rows[i + 1:, 2:]) >= threshold).numpy()
            hidden[i + 1:] |= near if force_suppress else near & (classes[i + 1:] == classes[i])
    return hidden


detection_in_c = with_work(multibox_detection, 3, lambda cls_prob, loc_pred, anchor, **attrs: (
    (4 * anchor.shape[1], torch.float32), (2 * anchor.shape[1], torch.float32), (2 * anchor.shape[1], torch.int32)))


@detection_in_c.emit_c
def _(call):
    (scores, offsets, anchors), (out, boxes, best, order), attrs = call.inputs, call.outputs, call.attrs
    batch, classes, count = scores.shape
    function = call.function("multibox_detection", c_text("multibox"))
    numbers = ", ".join(c_literal(float(v)) for v in (*attrs["variances"], attrs["threshold"], attrs["nms_threshold"]))
    return (f"for (ptrdiff_t i = 0; i < {batch}; ++i) {function}({scores.pointer} + i * {classes * count}, "
            f"{offsets.pointer} + i * {4 * count}, {anchors.pointer}, {out.pointer} + i * {6 * count}, "
            f"{boxes.pointer}, {best.pointer}, "
            f"{order.address}, {count}, {classes}, {numbers}, {int(not attrs['force_suppress'])}, "
            f"{attrs['nms_topk']}, {int(attrs['clip'])});")
