"""Region proposals: anchors moved by predicted offsets, the best of them without near duplicates.

Letters: B pictures, A anchors a cell, H x W cells, R proposals a picture.  Boxes are corners in the picture's pixels,
both ends included: a box from 0 to 15 is 16 wide.
"""
from __future__ import annotations

import math

import numpy as np
import torch

from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import COSTLY, Traits

_COSTLY = Traits(recompute=COSTLY)
_PICTURE = np.array([[64, 80, 1.0]], "float32")
_SETTINGS = {"rpn_pre_nms_top_n": 40, "rpn_post_nms_top_n": 6, "rpn_min_size": 4, "scales": (1.0, 2.0),
             "ratios": (0.5, 1.0), "resizable": False, "low": 0, "high": 0.9, "tolerance": 1e-4}


def _num_outputs(attrs):
    return 1 + attrs["output_score"]


def _samples(pictures: int) -> list[Sample]:
    inputs = (pictures, 8, 4, 5), (pictures, 16, 4, 5), np.repeat(_PICTURE, pictures, 0)
    return [Sample(*inputs, **_SETTINGS), Sample(*inputs, output_score=True, threshold=0.3, **_SETTINGS)]


@operator("_contrib_MultiProposal", traits=_COSTLY, num_outputs=_num_outputs, gradient=NOT_DIFFERENTIABLE,
          output_names=("output", "score"), mxnet_outputs=2,
          samples=_samples(2))
def multi_proposal(cls_prob, bbox_pred, im_info, *, rpn_pre_nms_top_n: int = 6000, rpn_post_nms_top_n: int = 300,
                   threshold: float = 0.7, rpn_min_size: int = 16, scales: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0),
                   ratios: tuple[float, ...] = (0.5, 1.0, 2.0), feature_stride: int = 16, output_score: bool = False,
                   iou_loss: bool = False):
    """Rows (picture, left, top, right, bottom) of the most likely objects, R for each picture.

    cls_prob: float[B, 2 A, H, W], background first;   bbox_pred: float[B, 4 A, H, W];   im_info: float[B, 3] (height,
    width, scale);   outs: float[B R, 5], and under output_score float[B R, 1]
    The best rpn_pre_nms_top_n take part; of two that overlap by more than `threshold` the better stays; where fewer
    than R = rpn_post_nms_top_n stay, they repeat.  iou_loss: bbox_pred holds moves of the corners.
    """
    pictures, count = len(cls_prob), rpn_post_nms_top_n
    rois, scores = cls_prob.new_empty((pictures, count, 5)), cls_prob.new_empty((pictures, count, 1))
    if not cls_prob.is_meta:
        shapes = _anchors(feature_stride, scales, ratios)
        for i in range(pictures):
            height, width, scale = im_info[i].tolist()
            boxes = _moved(_spread(shapes, feature_stride, cls_prob.shape[2:]), bbox_pred[i].cpu(), iou_loss)
            boxes = torch.minimum(boxes.clamp(min=0), torch.tensor([width - 1, height - 1] * 2))
            score = cls_prob[i, len(shapes):].cpu().float().permute(1, 2, 0).reshape(-1).clone()
            rows, columns = int(height / feature_stride), int(width / feature_stride)
            cell = torch.arange(len(score)) // len(shapes)
            score[(cell // cls_prob.shape[3] >= rows) | (cell % cls_prob.shape[3] >= columns)] = -1
            sides = boxes[:, 2:] - boxes[:, :2] + 1
            small = (sides < rpn_min_size * scale).any(1)
            boxes[small] += torch.tensor([-0.5, -0.5, 0.5, 0.5]) * rpn_min_size * scale
            score[small] = -1
            order = score.argsort(descending=True, stable=True)
            order = order[:rpn_pre_nms_top_n] if rpn_pre_nms_top_n > 0 else order
            kept = order[_survivors(boxes[order].numpy(), threshold, count)]
            kept = kept[torch.arange(count) % len(kept)]
            rois[i, :, 0], rois[i, :, 1:], scores[i, :, 0] = i, boxes[kept].to(rois), score[kept].to(scores)
    rois, scores = rois.reshape(-1, 5), scores.reshape(-1, 1)
    return (rois, scores) if output_score else rois


@operator("_contrib_Proposal", traits=_COSTLY, num_outputs=_num_outputs, gradient=NOT_DIFFERENTIABLE,
          output_names=("output", "score"), mxnet_outputs=2,
          samples=_samples(1))
def proposal(cls_prob, bbox_pred, im_info, *, rpn_pre_nms_top_n: int = 6000, rpn_post_nms_top_n: int = 300,
             threshold: float = 0.7, rpn_min_size: int = 16, scales: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0),
             ratios: tuple[float, ...] = (0.5, 1.0, 2.0), feature_stride: int = 16, output_score: bool = False,
             iou_loss: bool = False):
    """MultiProposal of one picture; inputs and outputs as there."""
    return multi_proposal.kernel(
        cls_prob, bbox_pred, im_info, rpn_pre_nms_top_n=rpn_pre_nms_top_n, rpn_post_nms_top_n=rpn_post_nms_top_n,
        threshold=threshold, rpn_min_size=rpn_min_size, scales=scales, ratios=ratios, feature_stride=feature_stride,
        output_score=output_score, iou_loss=iou_loss)


def _complete(shapes, **_):
    pictures, classes, *cells = shapes["cls_prob"]
    return {"bbox_pred": (pictures, 2 * classes, *cells), "im_info": (pictures, 3)}


multi_proposal.complete(_complete)
proposal.complete(_complete)


def _anchors(stride: int, scales: tuple[float, ...], ratios: tuple[float, ...]) -> list[list[float]]:
    """The boxes around the first cell: every ratio (height to width) with every scale."""
    middle, boxes = (stride - 1) / 2, []
    for ratio in ratios:
        side = math.floor(math.sqrt(math.floor(stride * stride / ratio)) + 0.5)
        for scale in scales:
            reach = (side * scale - 1) / 2, (math.floor(side * ratio + 0.5) * scale - 1) / 2
            boxes.append([middle - reach[0], middle - reach[1], middle + reach[0], middle + reach[1]])
    return boxes


def _spread(shapes: list[list[float]], stride: int, cells: torch.Size) -> torch.Tensor:
    """The anchors of all cells: float[H W A, 4]"""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) * stride for n in cells), indexing="ij")
    return (torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes)).reshape(-1, 4)


def _moved(anchors: torch.Tensor, offsets: torch.Tensor, corners: bool) -> torch.Tensor:
    """Boxes float[H W A, 4] from offsets float[4 A, H, W]: of the corners, or of middle and logarithm of the sides."""
    moves = offsets.float().permute(1, 2, 0).reshape(-1, 4)
    if corners:
        return anchors + moves
    sides = anchors[:, 2:] - anchors[:, :2] + 1
    middle = anchors[:, :2] + (sides - 1) / 2 + moves[:, :2] * sides
    half = (torch.exp(moves[:, 2:]) * sides - 1) / 2
    return torch.cat([middle - half, middle + half], 1)


def _survivors(boxes: np.ndarray, threshold: float, count: int) -> torch.Tensor:
    """Places of the first `count` boxes, best first, that no better survivor overlaps by more than `threshold`."""
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    alive, kept = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == count:
            break
        wide = np.minimum(right[i], right[i + 1:]) - np.maximum(left[i], left[i + 1:]) + 1
        tall = np.minimum(bottom[i], bottom[i + 1:]) - np.maximum(top[i], top[i + 1:]) + 1
        common = wide.clip(0) * tall.clip(0)
        alive[i + 1:] &= common / (areas[i] + areas[i + 1:] - common) <= threshold
    return torch.tensor(kept)
