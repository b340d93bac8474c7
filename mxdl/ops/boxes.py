"""Boxes: overlap, suppression, matching, and offsets from anchors.

A box is (left, top, right, bottom) in format "corner", (x, y, width, height) around its middle in format "center".
Letters: N, M boxes, K columns of a row (class, score, box, ...).
"""
from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from .c_text import c_text
from .families import c_literal
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, COSTLY, Traits
from .work_c import with_work

Format = Literal["center", "corner"]
_CHEAP = Traits(recompute=CHEAP)
_BOXES = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [0.5, 0, 2, 1.5]], "float32")
_OTHERS = np.array([[0, 0, 1, 1], [1, 1, 2, 2.5], [5, 5, 6, 6], [0.5, 0.2, 2, 1.7]], "float32")
_ROWS = np.array([[[0, 0.5, 0.1, 0.1, 0.2, 0.2], [1, 0.4, 0.1, 0.1, 0.2, 0.2], [0, 0.3, 0.1, 0.1, 0.14, 0.14],
                   [2, 0.6, 0.5, 0.5, 0.7, 0.8], [-1, 0.9, 0.1, 0.1, 0.2, 0.21], [1, -0.5, 0.3, 0.3, 0.4, 0.4]]],
                 "float32")


def to_corners(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes of format center as corners.  boxes, out: float[..., 4]"""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


def to_centers(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes of format corner as centers.  boxes, out: float[..., 4]"""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of corner boxes that broadcast against each other.  a, b: float[..., 4]"""
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    union = area(a) + area(b) - common
    return torch.where(union > 0, common / union, 0)


def area(boxes: torch.Tensor) -> torch.Tensor:
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


@operator("_contrib_box_iou", traits=_CHEAP, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(_BOXES, _OTHERS, resizable=False), Sample(_BOXES[None], _OTHERS, format="center")])
def box_iou(lhs, rhs, *, format: Format = "corner"):
    """Intersection over union of every box with every other.  lhs: float[..., 4]; rhs: float[.., 4]; out: [..., ..]"""
    if format == "center":
        lhs, rhs = to_corners(lhs), to_corners(rhs)
    return overlap(lhs.reshape(*lhs.shape[:-1], *[1] * (rhs.dim() - 1), 4), rhs)


@operator("_contrib_box_nms", aliases=("_contrib_box_non_maximum_suppression",), traits=Traits(recompute=COSTLY),
          num_outputs=2, num_visible=1, output_names=("output0", "output1"),
          samples=[*[Sample(_ROWS, resizable=False, **attrs)
                     for attrs in ({}, {"topk": 2}, {"valid_thresh": 0.35, "overlap_thresh": 0.1})],
                   *[Sample(_ROWS, resizable=False, id_index=0, differentiable=(), **attrs)  # classes make jumps
                     for attrs in ({}, {"force_suppress": True}, {"background_id": 0})]])
def box_nms(data, *, overlap_thresh: float = 0.5, valid_thresh: float = 0.0, topk: int = -1, coord_start: int = 2,
            score_index: int = 1, id_index: int = -1, background_id: int = -1, force_suppress: bool = False,
            in_format: Format = "corner", out_format: Format = "corner"):
    """Rows by falling score, without those that overlap a better one of their class (of any, under force_suppress).

    data, out: float[..., N, K]; rows that are suppressed, not above valid_thresh or of the background come out as -1
    at the end.   Hidden second output: where each row came from, int64[..., N], -1 for none.
    """
    rows = data.reshape(-1, *data.shape[-2:])
    if data.is_meta:
        return torch.empty_like(data), data.new_empty(data.shape[:-1], dtype=torch.int64)
    corners = rows.detach()[..., coord_start:coord_start + 4]
    corners = to_corners(corners) if in_format == "center" else corners
    scores = rows.detach()[..., score_index]
    valid = scores > valid_thresh
    classes = None
    if id_index >= 0:
        classes = rows.detach()[..., id_index]
        valid = valid & (classes != background_id)
        classes = None if force_suppress else classes
    places = torch.full(rows.shape[:2], -1, dtype=torch.int64)
    order = scores.masked_fill(~valid, -torch.inf).argsort(dim=1, descending=True, stable=True).cpu()
    for i, count in enumerate(valid.sum(1).tolist()):
        best = order[i, :count if topk < 0 else min(count, topk)]
        here = best.to(data.device)
        kept = best[_survivors(corners[i][here], None if classes is None else classes[i][here], overlap_thresh)]
        places[i, :len(kept)] = kept
    places = places.to(data.device)
    chosen = rows.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, rows.shape[2]))
    if in_format != out_format:
        convert = to_corners if in_format == "center" else to_centers
        chosen = torch.cat([chosen[..., :coord_start], convert(chosen[..., coord_start:coord_start + 4]),
                            chosen[..., coord_start + 4:]], -1)
    chosen = chosen.masked_fill((places < 0)[..., None], -1)
    return chosen.reshape(data.shape), places.reshape(data.shape[:-1])


def _survivors(corners: torch.Tensor, classes: torch.Tensor | None, threshold: float) -> torch.Tensor:
    """Which of the boxes, best first, no better survivor (of its class) overlaps by more than `threshold`: bool[N]"""
    boxes = corners.float().cpu()
    alive = np.ones(len(boxes), bool)
    names = None if classes is None else classes.cpu().numpy()
    for i in range(len(boxes)):
        if alive[i]:
            hidden = (overlap(boxes[i], boxes[i + 1:]) > threshold).numpy()
            alive[i + 1:] &= ~(hidden if names is None else hidden & (names[i + 1:] == names[i]))
    return torch.from_numpy(alive)


@operator("_contrib_bipartite_matching", traits=Traits(recompute=COSTLY), num_outputs=2, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(np.array([[0.5, 0.6], [0.1, 0.2], [0.3, 0.4]], "float32"), threshold=1e-12),
                   Sample((2, 4, 3), low=0, threshold=0.3), Sample((4, 5), low=0, threshold=0.5, is_ascend=True),
                   Sample((5, 4), low=0, threshold=0.0, topk=2)])
def bipartite_matching(data, *, is_ascend: bool = False, threshold: float, topk: int = -1):
    """Pair rows with columns greedily, the best score first, each at most once, none beyond `threshold`.

    data: float[..., N, M];   outs: [..., N], each row's column, and [..., M], each column's row; -1 for none
    """
    outs = data.new_full(data.shape[:-1], -1), data.new_full((*data.shape[:-2], data.shape[-1]), -1)
    if data.is_meta:
        return outs
    rows, columns = (out.reshape(-1, out.shape[-1]).cpu().numpy() for out in outs)
    for scores, row, column in zip(data.reshape(-1, *data.shape[-2:]).cpu().numpy(), rows, columns, strict=True):
        pairs = 0
        for place in np.argsort(scores.ravel() if is_ascend else -scores.ravel(), kind="stable"):
            i, j = divmod(int(place), scores.shape[1])
            if row[i] >= 0 or column[j] >= 0:
                continue
            if (scores[i, j] > threshold if is_ascend else scores[i, j] < threshold) or pairs > topk >= 0:
                break
            row[i], column[j], pairs = j, i, pairs + 1
    return tuple(torch.from_numpy(part).to(data.device).reshape(out.shape)
                 for part, out in zip((rows, columns), outs, strict=True))


@operator("_contrib_box_encode", traits=_CHEAP, num_outputs=2, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(np.array([[1, 0, 1]], "float32"), np.array([[2, 0, 1]], "float32"), _BOXES[None],
                          _OTHERS[None], np.array([0, 0.1, 0, 0.2], "float32"),
                          np.array([0.1, 0.1, 0.2, 0.2], "float32"), resizable=False)])
def box_encode(samples, matches, anchors, refs, means, stds):
    """Offsets of the matched references from the anchors, less means, by stds; 0 where a sample is not positive.

    samples, matches: [B, N];   anchors: float[B, N, 4];   refs: float[B, M, 4];   means, stds: float[4]
    outs: offsets and masks, float[B, N, 4]
    """
    matched = refs.gather(1, matches.long()[..., None].expand(-1, -1, 4))
    anchor, ref = to_centers(anchors), to_centers(matched)
    offsets = torch.cat([(ref[..., :2] - anchor[..., :2]) / anchor[..., 2:], torch.log(ref[..., 2:] / anchor[..., 2:])],
                        -1)
    positive = (samples > 0.5)[..., None].expand_as(offsets)
    return torch.where(positive, (offsets - means) / stds, 0), positive.to(offsets.dtype)


@operator("_contrib_box_decode", traits=_CHEAP, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3, 4), _BOXES[None], std0=0.1, std1=0.2, std2=0.3, std3=0.4, format="corner"),
                   Sample((2, 3, 4), _BOXES[None], clip=0.3)])
def box_decode(data, anchors, *, std0: float = 1.0, std1: float = 1.0, std2: float = 1.0, std3: float = 1.0,
               clip: float = -1.0, format: Format = "center"):
    """Corner boxes from offsets.  data: float[B, N, 4];  anchors: float[1, N, 4] of `format`;  out: float[B, N, 4]"""
    anchor = to_centers(anchors) if format == "corner" else anchors
    offsets = data * data.new_tensor([std0, std1, std2, std3])
    middle = offsets[..., :2] * anchor[..., 2:] + anchor[..., :2]
    growth = offsets[..., 2:].clamp(max=clip) if clip > 0 else offsets[..., 2:]
    half = torch.exp(growth) * anchor[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


box_nms_in_c = with_work(box_nms, 2, lambda data, **attrs: ((4 * data.shape[-2], torch.float32),
                                                            (2 * data.shape[-2], torch.int32)))


@box_nms_in_c.emit_c
def _(call):
    (data,), (out, places, boxes, order), attrs = call.inputs, call.outputs, call.attrs
    n, columns = data.shape[-2:]
    classes = attrs["id_index"] >= 0
    function = call.function("box_nms", c_text("box_nms"))
    step = f"i * {n * columns}"
    return (f"for (ptrdiff_t i = 0; i < {data.size // (n * columns)}; ++i) {function}({data.pointer} + {step}, "
            f"{out.pointer} + {step}, {places.address} + i * {n}, {boxes.pointer}, {order.address}, {n}, {columns}, "
            f"{attrs['coord_start']}, {attrs['score_index']}, {attrs['id_index']}, {attrs['background_id']}, "
            f"{int(classes and not attrs['force_suppress'])}, {attrs['topk']}, "
            f"{c_literal(float(attrs['valid_thresh']))}, "
            f"{c_literal(float(attrs['overlap_thresh']))}, {int(attrs['in_format'] == 'center')}, "
            f"{int(attrs['out_format'] == 'center')}, {int(attrs['in_format'] != attrs['out_format'])});")


@box_iou.emit_c
def _(call):
    (lhs, rhs), out = call.inputs, call.outputs[0]
    corners = "box_corners({0}, {1});" if call.attrs["format"] == "center" else "memcpy({1}, {0}, sizeof {1});"
    call.kernel("box_overlap")
    return (f"for (size_t i = 0; i < {lhs.size // 4}; ++i) for (size_t j = 0; j < {rhs.size // 4}; ++j) {{ "
            f"float left[4], right[4]; {corners.format(f'{lhs.pointer} + i * 4', 'left')} "
            f"{corners.format(f'{rhs.pointer} + j * 4', 'right')} "
            f"{out.pointer}[i * {rhs.size // 4} + j] = box_overlap(left, right); }}")


@box_decode.emit_c
def _(call):
    (data, anchors), attrs = call.inputs, call.attrs
    n = anchors.shape[1]
    scales = ", ".join(c_literal(float(attrs[f"std{i}"])) for i in range(4))
    center = "box_center(at, center);" if attrs["format"] == "corner" else "memcpy(center, at, sizeof center);"
    limit = c_literal(float(attrs["clip"])) if attrs["clip"] > 0 else "INFINITY"
    return (f"const float scales[4] = {{{scales}}}; for (size_t i = 0; i < {data.size // 4}; ++i) {{ float center[4]; "
            f"const float *at = {anchors.pointer} + i % {n} * 4; {center} "
            f"box_from_offsets({data.pointer} + i * 4, center, scales, {limit}, {call.outputs[0].pointer} + i * 4); }}")
