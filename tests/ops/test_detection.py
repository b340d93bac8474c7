"""What must hold of any boxes: suppression, matching and encoding."""
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.ops import get
from mxdl.ops.boxes import overlap, to_centers, to_corners


def boxes(count: int, seed: int) -> torch.Tensor:
    low = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat([low, low + torch.rand(count, 2, generator=torch.Generator().manual_seed(seed + 1)) + 0.05], 1)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 30), seed=st.integers(0, 1000), threshold=st.floats(0.1, 0.9))
def test_suppression(count, seed, threshold):
    """Survivors come by falling score, none overlaps another; each row suppressed overlaps a better survivor."""
    scores = torch.rand(count, 1, generator=torch.Generator().manual_seed(seed + 2))
    rows = torch.cat([torch.zeros(count, 1), scores, boxes(count, seed)], 1)
    out, places = get("_contrib_box_nms").bind({"overlap_thresh": threshold})(rows[None])
    kept = out[0, places[0] >= 0]
    assert torch.equal(kept, rows[places[0, places[0] >= 0]])
    assert (kept[:-1, 1] >= kept[1:, 1]).all()
    between = overlap(kept[:, None, 2:], kept[None, :, 2:])
    between.fill_diagonal_(0)
    assert (between <= threshold).all()
    gone = [i for i in range(count) if i not in places[0].tolist()]
    for i in gone:
        better = kept[kept[:, 1] >= rows[i, 1]]
        assert (overlap(rows[i, 2:], better[:, 2:]) > threshold).any()
    assert (out[0, len(kept):] == -1).all()


def test_decoding_undoes_encoding():
    anchors, refs = boxes(5, 1)[None], boxes(5, 7)[None]
    samples, matches = torch.ones(1, 5), torch.arange(5.0)[None]
    deviations = torch.tensor([0.1, 0.1, 0.2, 0.2])
    offsets, masks = get("_contrib_box_encode")(samples, matches, anchors, refs, torch.zeros(4), deviations)
    decode = get("_contrib_box_decode").bind({"std0": 0.1, "std1": 0.1, "std2": 0.2, "std3": 0.2, "format": "corner"})
    torch.testing.assert_close(decode(offsets, anchors), refs)
    assert masks.all()


def test_formats_undo_each_other():
    corners = boxes(9, 3)
    torch.testing.assert_close(to_corners(to_centers(corners)), corners)


def test_every_label_gets_an_anchor():
    anchors = boxes(20, 5)[None]
    labels = torch.cat([torch.arange(3.0)[:, None], boxes(3, 11)], 1)[None]
    _, masks, classes = get("_contrib_MultiBoxTarget").bind({"overlap_threshold": 0.99})(
        anchors, labels, torch.zeros(1, 4, 20))
    assert {1.0, 2.0, 3.0} <= set(classes[0].tolist())
    assert torch.equal(masks.reshape(1, 20, 4)[..., 0] > 0, classes > 0)


def test_pooled_maxima_are_those_of_the_region():
    data = torch.arange(2 * 3 * 6 * 6.0).reshape(2, 3, 6, 6)
    rois = torch.tensor([[1.0, 1, 2, 4, 5], [0, 0, 0, 5, 5]])
    out, _ = get("ROIPooling").bind({"pooled_size": (1, 1), "spatial_scale": 1.0})(data, rois)
    np.testing.assert_array_equal(out[0, :, 0, 0], data[1, :, 2:6, 1:5].amax((1, 2)))
    np.testing.assert_array_equal(out[1, :, 0, 0], data[0].amax((1, 2)))
