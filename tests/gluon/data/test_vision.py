"""Vision data sets and transforms."""
import gzip
import io
import struct
import tarfile
import urllib.error

import numpy as np
import pytest
from PIL import Image

import mxdl as mx
from mxdl import public_data, recordio
from mxdl.errors import FileFormatError
from mxdl.gluon.data import DataLoader, vision
from mxdl.gluon.data.vision import transforms


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(public_data.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("MXDL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, part="train", count=5):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.arange(count * 28 * 28, dtype=np.uint64).astype(np.uint8).reshape(count, 28, 28)
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    return images


@pytest.mark.parametrize("dataset, name", [(vision.MNIST, "mnist"), (vision.FashionMNIST, "fashion-mnist")])
def test_digits_and_clothes(dataset, name, tmp_path):
    images = write_mnist(tmp_path / "data" / name)
    data = dataset()
    image, label = data[3]
    assert len(data) == 5 and image.shape == (28, 28, 1) and image.dtype is np.uint8
    assert label == 3 and isinstance(label, np.int32)
    np.testing.assert_array_equal(image.asnumpy()[..., 0], images[3])
    assert dataset(transform=lambda image, label: label + 1)[3] == 4
    write_mnist(tmp_path / "own", "t10k", count=2)
    assert len(dataset(root=tmp_path / "own", train=False)) == 2


def test_missing_files_are_named_with_where_to_put_them(tmp_path):
    with pytest.raises(public_data.DataMissing) as caught:
        vision.MNIST(train=False)
    text = str(caught.value)
    assert str(tmp_path / "data" / "mnist") in text and "t10k-images-idx3-ubyte.gz" in text and "train" not in text


def cifar_records(count, label_bytes):
    labels = np.arange(count * label_bytes, dtype=np.uint8).reshape(count, label_bytes)
    planes = np.zeros((count, 3, 32, 32), np.uint8)
    planes[:, 1, 2, 5] = 7      # green, row 2, column 5
    return np.concatenate([labels, planes.reshape(count, -1)], axis=1).tobytes()


def test_cifar10_from_files_and_from_the_archive(tmp_path):
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    (folder / "test_batch.bin").write_bytes(cifar_records(4, 1))
    image, label = vision.CIFAR10(train=False)[2]
    assert image.shape == (32, 32, 3) and image.asnumpy()[2, 5].tolist() == [0, 7, 0] and label == 2
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for part in range(1, 6):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/data_batch_{part}.bin")
            member.size = len(cifar_records(part, 1))
            archive.addfile(member, io.BytesIO(cifar_records(part, 1)))
    assert len(vision.CIFAR10(train=True)) == 15
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"broken")
    with pytest.raises(FileFormatError, match="damaged"):
        vision.CIFAR10(train=True)
    (folder / "test_batch.bin").write_bytes(b"broken")
    with pytest.raises(FileFormatError, match="records of 3073 bytes; got 6"):
        vision.CIFAR10(train=False)


def test_cifar100_has_two_labels(tmp_path):
    folder = tmp_path / "own" / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "test.bin").write_bytes(cifar_records(3, 2))
    for fine, label in ((False, 2), (True, 3)):
        data = vision.CIFAR100(tmp_path / "own", fine_label=fine, train=False)
        assert len(data) == 3 and data[1][1] == label


def write_png(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(path)


def test_folders(tmp_path):
    write_png(tmp_path / "cats" / "b.png", 1)
    write_png(tmp_path / "cats" / "a.PNG", 2)
    write_png(tmp_path / "dogs" / "c.png", 3)
    (tmp_path / "dogs" / "notes.txt").write_text("x")
    with pytest.warns(UserWarning, match="notes.txt"):
        data = vision.ImageFolderDataset(tmp_path)
    assert data.synsets == ["cats", "dogs"]
    assert [(int(data[i][0].asnumpy()[0, 0, 0]), data[i][1]) for i in range(3)] == [(2, 0), (1, 0), (3, 1)]
    with pytest.warns(UserWarning):
        assert vision.ImageFolderDataset(tmp_path, flag=0)[0][0].shape == (4, 5, 1)


def test_lists(tmp_path):
    write_png(tmp_path / "a.png", 1)
    (tmp_path / "x.lst").write_text("0\t3\ta.png\n1\t4\t5\ta.png\n")
    data = vision.ImageListDataset(tmp_path, tmp_path / "x.lst")
    assert len(data) == 2 and data[0][1] == 3 and data[1][1].tolist() == [4, 5] and data[0][0].shape == (4, 5, 3)
    assert vision.ImageListDataset(tmp_path, [[7, "a.png"]])[0][1] == 7
    (tmp_path / "x.lst").write_text("no list\n")
    with pytest.raises(FileFormatError, match="line 1"):
        vision.ImageListDataset(tmp_path, tmp_path / "x.lst")


def test_records_through_worker_processes(tmp_path):
    with recordio.MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer:
        for i in range(6):
            image = np.full((4, 5, 3), 10 * i, np.uint8)
            writer.write_idx(i, recordio.pack_img(recordio.IRHeader(0, i, i, 0), image, img_fmt=".png"))
    data = vision.ImageRecordDataset(tmp_path / "a.rec").transform_first(transforms.ToTensor())
    for num_workers in (0, 2):
        batches = list(DataLoader(data, 2, num_workers=num_workers))
        assert [label.asnumpy().tolist() for _, label in batches] == [[0, 1], [2, 3], [4, 5]]
        np.testing.assert_allclose(batches[2][0].asnumpy()[1], 50 / 255, rtol=1e-6)


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def pixels():
    return mx.nd.array(PIXELS, dtype="uint8")


@pytest.mark.parametrize("transform, shape, dtype", [
    (transforms.ToTensor(), (3, 6, 8), "float32"), (transforms.Cast("float16"), (6, 8, 3), "float16"),
    (transforms.Resize(4), (4, 4, 3), "uint8"), (transforms.Resize((4, 2)), (2, 4, 3), "uint8"),
    (transforms.Resize(4, keep_ratio=True), (4, 5, 3), "uint8"), (transforms.CenterCrop((10, 4)), (4, 10, 3), "uint8"),
    (transforms.CropResize(1, 2, 4, 3), (3, 4, 3), "uint8"),
    (transforms.CropResize(1, 2, 4, 3, (9, 8), 1), (8, 9, 3), "uint8"),
    (transforms.RandomResizedCrop(4), (4, 4, 3), "uint8"), (transforms.RandomCrop(5, pad=2), (5, 5, 3), "uint8"),
    (transforms.RandomFlipLeftRight(), (6, 8, 3), "uint8"), (transforms.RandomFlipTopBottom(), (6, 8, 3), "uint8"),
    (transforms.RandomBrightness(0.5), (6, 8, 3), "uint8"), (transforms.RandomContrast(0.5), (6, 8, 3), "uint8"),
    (transforms.RandomSaturation(0.5), (6, 8, 3), "uint8"), (transforms.RandomHue(0.5), (6, 8, 3), "uint8"),
    (transforms.RandomColorJitter(0.1, 0.1, 0.1, 0.1), (6, 8, 3), "uint8"),
    (transforms.RandomLighting(0.1), (6, 8, 3), "uint8"),
    (transforms.RandomApply(transforms.Cast("float32"), 1.0), (6, 8, 3), "float32"),
    (transforms.RandomApply([transforms.Cast("float32")], 0.0), (6, 8, 3), "uint8"),
    (transforms.Compose([transforms.Resize(4), transforms.ToTensor(), transforms.Normalize(0.5, (1, 2, 3)),
                         transforms.Rotate(20), transforms.RandomRotation((-5, 5))]), (3, 4, 4), "float32"),
], ids=lambda value: type(value).__name__ if isinstance(value, mx.gluon.Block) else None)
def test_shapes_and_dtypes(transform, shape, dtype):
    out = transform(pixels())
    assert out.shape == shape and out.dtype is np.dtype(dtype).type


def test_values():
    scaled = PIXELS.transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(transforms.ToTensor()(pixels()).asnumpy(), scaled, rtol=1e-6)
    normal = transforms.Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(mx.nd.array(scaled)).asnumpy()
    expected = (scaled - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([0.5, 0.6, 0.7])[:, None, None]
    np.testing.assert_allclose(normal, expected, rtol=1e-5)
    np.testing.assert_array_equal(transforms.RandomFlipLeftRight(p=1)(pixels()).asnumpy(), PIXELS[:, ::-1])
    np.testing.assert_array_equal(transforms.RandomFlipTopBottom(p=0)(pixels()).asnumpy(), PIXELS)


def test_random_changes_follow_the_seed_and_stay_in_range():
    def draw(seed):
        mx.random.seed(seed)
        return transforms.RandomColorJitter(0.9, 0.9, 0.9, 0.5)(pixels()).asnumpy()

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_a_turn_of_the_hue_by_a_third_exchanges_channels():
    turned = mx.nd.image.random_hue(mx.nd.array(PIXELS.astype("float32")), min_factor=1 / 3, max_factor=1 / 3)
    np.testing.assert_allclose(turned.asnumpy(), PIXELS[..., [2, 0, 1]], atol=0.01)


def test_transforms_hybridize_and_trace():
    chain = mx.gluon.nn.HybridSequential()
    chain.add(transforms.Resize(4), transforms.ToTensor(), transforms.Normalize(0.5, 0.5))
    expected = chain(pixels()).asnumpy()
    chain.hybridize()
    np.testing.assert_array_equal(chain(pixels()).asnumpy(), expected)


def test_a_rectangle_outside_is_an_error():
    with pytest.raises(ValueError, match="not inside the image of width 8 and height 6"):
        transforms.CropResize(5, 0, 4, 3)(pixels())
    with pytest.raises(ValueError, match="angle_limits"):
        transforms.RandomRotation((5, -5))
