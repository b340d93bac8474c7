"""Reading, resizing, cropping and turning images."""
import io
import random

import numpy as np
import pytest
from PIL import Image

import mxdl as mx
from mxdl import image
from mxdl.errors import FileFormatError


def picture(height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def nd(pixels):
    return mx.nd.array(pixels, dtype=pixels.dtype)


def test_decoding(tmp_path):
    pixels = picture()
    np.testing.assert_array_equal(image.imdecode(encoded(pixels)).asnumpy(), pixels)
    np.testing.assert_array_equal(image.imdecode(encoded(pixels), to_rgb=False).asnumpy(), pixels[..., ::-1])
    assert image.imdecode(encoded(pixels), flag=0).shape == (6, 8, 1)
    assert image.imdecode(encoded(pixels[..., 0]), flag=1).shape == (6, 8, 3)
    assert image.imdecode(encoded(pixels[..., 0]), flag=-1).shape == (6, 8, 1)
    as_array = mx.nd.array(np.frombuffer(encoded(pixels), np.uint8), dtype="uint8")
    assert image.imdecode(as_array).shape == (6, 8, 3)
    (tmp_path / "a.jpg").write_bytes(encoded(pixels, "JPEG"))
    assert image.imread(tmp_path / "a.jpg").shape == (6, 8, 3)
    out = mx.nd.zeros((6, 8, 3), dtype="uint8")
    image.imdecode(encoded(pixels), out=out)
    np.testing.assert_array_equal(out.asnumpy(), pixels)


@pytest.mark.parametrize("content", [b"", b"no image", encoded(picture(64, 64))[:900]])
def test_what_is_no_image_is_named(content, tmp_path):
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(FileFormatError, match="b.png: these .* no image"):
        image.imread(tmp_path / "b.png")


@pytest.mark.parity
@pytest.mark.parametrize("interp", range(5))
def test_resizing_equals_mxnets(mxnet, interp):
    pixels = picture(9, 11).astype("float32")
    for size in ((5, 4), (20, 17), (11, 4), (5, 17)):
        theirs = mxnet.run("result = mx.image.imresize(mx.nd.array(pixels), *size, interp)", pixels=pixels, size=size,
                           interp=interp)
        np.testing.assert_allclose(image.imresize(nd(pixels), *size, interp).asnumpy(), theirs, atol=2e-3)


@pytest.mark.parity
@pytest.mark.parametrize("zoom", [(False, False), (True, False), (False, True)])
def test_turning_equals_mxnets(mxnet, zoom):
    images = np.random.default_rng(0).random((2, 3, 6, 8), dtype="float32")
    theirs = mxnet.run("result = mx.image.imrotate(mx.nd.array(images), -30, *zoom)", images=images, zoom=zoom)
    np.testing.assert_allclose(image.imrotate(nd(images), -30, *zoom).asnumpy(), theirs, atol=1e-5)


def test_whole_numbers_stay_in_range_and_constant_images_constant():
    for interp in range(5):
        flat = np.full((5, 7, 3), 255, np.uint8)
        assert (image.imresize(nd(flat), 12, 4, interp).asnumpy() == 255).all()
    with pytest.raises(ValueError, match="interp"):
        image.imresize(nd(picture()), 3, 3, 7)


def test_sizes():
    assert image.resize_short(nd(picture(6, 8)), 3).shape == (3, 4, 3)
    assert image.resize_short(nd(picture(8, 6)), 3).shape == (4, 3, 3)
    assert image.scale_down((640, 480), (720, 120)) == (640, 106)
    part, where = image.center_crop(nd(picture(6, 8)), (4, 2))
    assert where == (2, 2, 4, 2)
    np.testing.assert_array_equal(part.asnumpy(), picture(6, 8)[2:4, 2:6])
    assert image.center_crop(nd(picture(6, 8)), (10, 10))[0].shape == (10, 10, 3)
    assert image.fixed_crop(nd(picture()), 1, 2, 3, 4, (5, 6)).shape == (6, 5, 3)


def test_random_rectangles_lie_inside():
    random.seed(1)
    for _ in range(50):
        part, (x, y, w, h) = image.random_size_crop(nd(picture(6, 8)), (3, 3), (0.1, 0.9), (0.5, 2))
        assert part.shape == (3, 3, 3) and x + w <= 8 and y + h <= 6
        part, (x, y, w, h) = image.random_crop(nd(picture(6, 8)), (3, 2))
        np.testing.assert_array_equal(part.asnumpy(), picture(6, 8)[y:y + h, x:x + w])


def test_borders_normalizing_and_wrong_rotations():
    framed = image.copyMakeBorder(nd(picture(2, 2)), 1, 0, 0, 2, values=(1, 2, 3)).asnumpy()
    assert framed.shape == (3, 4, 3) and framed[0, 0].tolist() == [1, 2, 3]
    normal = image.color_normalize(mx.nd.ones((2, 2, 3)), mx.nd.array([1, 0, 3]), 2.0)
    assert normal.asnumpy()[0, 0].tolist() == [0, 0.5, -1]
    with pytest.raises(TypeError, match="use ToTensor"):
        image.imrotate(nd(picture()), 10)
    with pytest.raises(ValueError, match="exclude each other"):
        image.imrotate(mx.nd.ones((3, 4, 4)), 10, True, True)
    with pytest.raises(ValueError, match="2 images need as many angles; got 1"):
        image.imrotate(mx.nd.ones((2, 3, 4, 4)), [10])
