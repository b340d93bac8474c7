"""Losses: formulas, weights, shapes, the same bits hybridized.  tests/parity compares them with MXNet."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, nd
from mxdl.gluon import loss
from tests.gluon.layer_checks import pattern

ROWS, COLUMNS = 3, 4
PRED = pattern((ROWS, COLUMNS)).asnumpy()
OTHER = pattern((ROWS, COLUMNS), 2).asnumpy()
SIGN = np.sign(OTHER)
PROBABILITY = np.abs(OTHER)
CLASSES = np.float32([0, 3, 1])


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


LOSSES = {
    "L2Loss": (loss.L2Loss(), (PRED, OTHER), ((PRED - OTHER) ** 2 / 2).mean(1)),
    "L2Loss weighted": (loss.L2Loss(weight=3), (PRED, OTHER), ((PRED - OTHER) ** 2 * 1.5).mean(1)),
    "L1Loss": (loss.L1Loss(), (PRED, OTHER), np.abs(PRED - OTHER).mean(1)),
    "SigmoidBCELoss": (loss.SigmoidBCELoss(), (PRED, PROBABILITY),
                       (PROBABILITY * softplus(-PRED) + (1 - PROBABILITY) * softplus(PRED)).mean(1)),
    "SigmoidBCELoss from sigmoid": (loss.SigmoidBCELoss(from_sigmoid=True), (np.abs(PRED), PROBABILITY),
                                    -(PROBABILITY * np.log(np.abs(PRED) + 1e-12)
                                      + (1 - PROBABILITY) * np.log(1 - np.abs(PRED) + 1e-12)).mean(1)),
    "SoftmaxCELoss": (loss.SoftmaxCELoss(), (PRED, CLASSES), -log_softmax(PRED)[range(ROWS), CLASSES.astype(int)]),
    "SoftmaxCELoss dense": (loss.SoftmaxCELoss(sparse_label=False), (PRED, PROBABILITY),
                            -(log_softmax(PRED) * PROBABILITY).sum(1)),
    "SoftmaxCELoss from logits": (loss.SoftmaxCELoss(from_logits=True), (PRED, CLASSES),
                                  -PRED[range(ROWS), CLASSES.astype(int)]),
    "KLDivLoss": (loss.KLDivLoss(from_logits=False), (PRED, PROBABILITY),
                  (PROBABILITY * (np.log(PROBABILITY + 1e-12) - log_softmax(PRED))).sum(1)),
    "HuberLoss": (loss.HuberLoss(rho=0.5), (PRED, OTHER),
                  np.where(np.abs(PRED - OTHER) > 0.5, np.abs(PRED - OTHER) - 0.25, (PRED - OTHER) ** 2).mean(1)),
    "HingeLoss": (loss.HingeLoss(), (PRED, SIGN), np.maximum(1 - PRED * SIGN, 0).mean(1)),
    "SquaredHingeLoss": (loss.SquaredHingeLoss(margin=0.5), (PRED, SIGN),
                         (np.maximum(0.5 - PRED * SIGN, 0) ** 2).mean(1)),
    "LogisticLoss": (loss.LogisticLoss(), (PRED, SIGN), softplus(-PRED * SIGN).mean(1)),
    "LogisticLoss binary": (loss.LogisticLoss(label_format="binary"), (PRED, (SIGN + 1) / 2),
                            softplus(-PRED * SIGN).mean(1)),
    "TripletLoss": (loss.TripletLoss(margin=2), (PRED, OTHER, SIGN),
                    np.maximum(((OTHER - PRED) ** 2 - (SIGN - PRED) ** 2).sum(1) + 2, 0)),
    "PoissonNLLLoss": (loss.PoissonNLLLoss(), (PRED, PROBABILITY), [(np.exp(PRED) - PROBABILITY * PRED).mean()]),
    "PoissonNLLLoss of rates": (loss.PoissonNLLLoss(from_logits=False), (np.abs(PRED), PROBABILITY),
                                [(np.abs(PRED) - PROBABILITY * np.log(np.abs(PRED) + 1e-8)).mean()]),
    "CosineEmbeddingLoss": (loss.CosineEmbeddingLoss(margin=0.1), (PRED, OTHER, np.float32([1, -1, 1])), None),
    "SDMLLoss": (loss.SDMLLoss(), (PRED, OTHER), None),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    block, inputs, expected = LOSSES[name]
    arrays = [nd.array(x) for x in inputs]
    block.hybridize(False)
    results = []
    for _ in range(2):
        arrays[0].attach_grad()
        with autograd.record():
            out = block(*arrays)
        out.backward()
        results.append((out.asnumpy(), arrays[0].grad.asnumpy()))
        block.hybridize()
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)
    if expected is not None:
        np.testing.assert_allclose(results[0][0], expected, rtol=2e-5, atol=1e-6)


def test_cosine_embedding_loss():
    a, b = nd.array([[1, 0], [1, 1], [0, 1]]), nd.array([[1, 1], [1, 1], [1, 0]])
    out = loss.CosineEmbeddingLoss(margin=0.5)(a, b, nd.array([1, -1, -1]))
    np.testing.assert_allclose(out.asnumpy().reshape(-1), [1 - 0.5 ** 0.5, 0.5, 0], atol=1e-6)


def test_smoothed_deep_metric_loss_is_least_for_pairs_that_agree():
    x, rolled = nd.array(np.eye(3) * 4), nd.array(np.roll(np.eye(3), 1, 0) * 4)
    same, shifted = loss.SDMLLoss()(x, x).asnumpy(), loss.SDMLLoss()(x, rolled).asnumpy()
    assert same.shape == (3,) and (same < shifted).all()


def test_ctc_loss_is_the_sum_over_all_alignments():
    """Two steps, one label, one blank: paths "aa", "a-", "-a"."""
    scores = np.log(np.float32([[[0.6, 0.4], [0.3, 0.7]]]))
    out = loss.CTCLoss()(nd.array(scores), nd.array([[0]]))
    np.testing.assert_allclose(out.asnumpy(), [-np.log(0.6 * 0.3 + 0.6 * 0.7 + 0.4 * 0.3)], rtol=1e-5)
    with pytest.raises(AssertionError, match="'NTC', 'TNC'"):
        loss.CTCLoss(layout="NCT")


def test_sample_weights_broadcast():
    weight = nd.array([[1], [0], [2]])
    out = loss.L1Loss()(nd.array(PRED), nd.array(OTHER), weight).asnumpy()
    np.testing.assert_allclose(out, np.abs(PRED - OTHER).mean(1) * [1, 0, 2], rtol=1e-5)
    with pytest.raises(AssertionError, match="weight is one number"):
        loss.L1Loss(weight=weight)(nd.array(PRED), nd.array(OTHER))


def test_labels_take_the_shape_of_predictions():
    out = loss.L2Loss()(nd.array(PRED.reshape(3, 4)), nd.array(OTHER.reshape(3, 2, 2)))
    assert out.shape == (3,)


def test_poisson_of_zero_is_finite():
    out = loss.PoissonNLLLoss(compute_full=True)(nd.array([[0., 1.]]), nd.array([[0., 3.]])).asscalar()
    stirling = 3 * np.log(3) - 3 + 0.5 * np.log(6 * np.pi)
    np.testing.assert_allclose(out, (1 + np.e - 3 + stirling) / 2, rtol=1e-5)


def test_losses_can_be_exported(tmp_path):
    block = loss.SoftmaxCELoss()
    block.hybridize()
    inputs = nd.array(PRED), nd.array(CLASSES)
    expected = block(*inputs).asnumpy()
    block.export(str(tmp_path / "loss"))
    again = mx.gluon.SymbolBlock.imports(str(tmp_path / "loss-symbol.json"), ["data0", "data1"])
    np.testing.assert_array_equal(again(*inputs).asnumpy(), expected)
