"""FeedForward: the old model class on arrays and on iterators."""
import numpy as np
import pytest

import mxdl as mx
from tests.module.batches import Waves, blobs, classifier


def fitted(**settings):
    model = mx.model.FeedForward(classifier(), num_epoch=3, learning_rate=0.2, numpy_batch_size=32,
                                 initializer=Waves(), **settings)
    model.fit(*blobs(), eval_data=blobs(64))
    return model


def test_arrays_in_arrays_out():
    model = fitted()
    data, label = blobs(50)
    predicted = model.predict(data)
    assert predicted.shape == (50, 3) and (predicted.argmax(1) == label).mean() > 0.95
    assert model.score(mx.io.NDArrayIter(data, label, batch_size=25)) > 0.95
    outputs, seen, labels = model.predict(mx.io.NDArrayIter(data, label, batch_size=25), return_data=True)
    np.testing.assert_array_equal(seen, data)
    np.testing.assert_array_equal(labels, label)
    np.testing.assert_allclose(outputs, predicted, rtol=1e-5, atol=1e-6)


def test_checkpoints(tmp_path):
    model = fitted(epoch_size=4)
    model.save(str(tmp_path / "ff"))
    again = mx.model.FeedForward.load(str(tmp_path / "ff"), 3, num_epoch=4, numpy_batch_size=32)
    np.testing.assert_array_equal(again.predict(blobs(10)[0]), model.predict(blobs(10)[0]))
    again.fit(*blobs())
    assert again.begin_epoch == 3


def test_create_and_what_is_refused():
    model = mx.model.FeedForward.create(classifier(), *blobs(64), num_epoch=1, learning_rate=0.1, initializer=Waves())
    assert set(model.arg_params) == {"fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"}
    with pytest.raises(ValueError, match="got y=None"):
        model.fit(blobs()[0])
    with pytest.raises(ValueError, match="give epoch"):
        mx.model.FeedForward(classifier()).save("x")
