"""The vision models: MXNet's very symbols, the same bits hybridized, weight files.

zoo_symbols.json: SHA-256 of what MXNet 1.9.1 writes for ``get_model(name, prefix='net_')(var('data')).tojson()``:
structure, attributes, parameter names, shapes and order in one number.  The last test makes it anew where MXNet is.
"""
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, nd
from mxdl.gluon.model_zoo import model_store, vision
from tests.gluon.layer_checks import pattern

SYMBOLS = json.loads((Path(__file__).parent / "zoo_symbols.json").read_text())
#: smallest side of an image that a model can take, where it is not 32
SIDES = {"alexnet": 63, "squeezenet1.0": 224, "squeezenet1.1": 224, "inceptionv3": 299,
         **{f"densenet{n}": 224 for n in (121, 161, 169, 201)}}
QUICK = ("resnet18_v1", "resnet18_v2", "mobilenet0.25", "mobilenetv2_0.25")


def test_every_model_of_mxnet_is_here():
    assert sorted(vision.MODELS) == sorted(SYMBOLS)


@pytest.mark.parametrize("name", sorted(vision.MODELS))
def test_symbols_are_mxnets_byte_for_byte(name):
    text = vision.get_model(name, prefix="net_")(mx.sym.var("data")).tojson()
    assert hashlib.sha256(text.encode()).hexdigest() == SYMBOLS[name]


@pytest.mark.parity
@pytest.mark.parametrize("name", sorted(vision.MODELS))
def test_the_table_is_what_mxnet_says(name, mxnet):
    text = mxnet.run(f"net = mx.gluon.model_zoo.vision.get_model({name!r}, prefix='net_')\n"
                     f"result = net(mx.sym.var('data')).tojson()")
    assert hashlib.sha256(str(text).encode()).hexdigest() == SYMBOLS[name]


@pytest.mark.parity
@pytest.mark.parametrize("name", ["resnet18_v1", "resnet50_v2", "mobilenet0.25", "mobilenetv2_0.25",
                                  pytest.param("vgg11_bn", marks=pytest.mark.slow)])
def test_models_go_to_mxnet_and_back(name, mxnet, tmp_path):
    """Exported by either, run by the other: the same outputs to 1e-5 of their size."""
    make = f"""
x = mx.nd.array(np.sin(np.arange(2 * 3 * 64 * 64) * 0.7).reshape(2, 3, 64, 64))
net = mx.gluon.model_zoo.vision.get_model({name!r}, classes=7)
net.initialize(mx.init.Xavier())
net.hybridize()
result = net(x).asnumpy()
net.export(path)"""
    load = """
x = mx.nd.array(np.sin(np.arange(2 * 3 * 64 * 64) * 0.7).reshape(2, 3, 64, 64))
result = mx.gluon.SymbolBlock.imports(path + "-symbol.json", ["data"], path + "-0000.params")(x).asnumpy()"""

    def here(source, path):
        space = {"mx": mx, "np": np, "path": path}
        exec(source, space)
        return space["result"]
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    for wrote, read in ((mxnet.run(make, path=theirs), here(load, theirs)),
                        (here(make, ours), mxnet.run(load, path=ours))):
        assert np.abs(wrote - read).max() <= 1e-5 * np.abs(wrote).max()


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                                  for name in sorted(vision.MODELS)])
def test_hybrid_is_bitwise_eager(name):
    """In training (with dropout) and prediction, on three input shapes."""
    side = SIDES.get(name, 32)
    grow = 1 if side > 200 else 16
    shapes = [(2, 3, side, side), (1, 3, side, side + grow), (3, 3, side + grow, side)]
    if name.startswith(("vgg", "alexnet")):  # their dense layers fix the size of the image
        shapes = [(n, 3, side, side) for n in (2, 1, 3)]
    eager, hybrid = (vision.get_model(name, classes=7) for _ in range(2))
    eager.initialize(mx.init.Xavier())
    hybrid.initialize()
    for net in (eager, hybrid):
        net(pattern(shapes[0]))
    for ours, theirs in zip(hybrid.collect_params().values(), eager.collect_params().values(), strict=True):
        ours.set_data(theirs.data())
    hybrid.hybridize()
    for shape in shapes:
        x = pattern(shape)
        results = []
        for net in (eager, hybrid):
            mx.random.seed(4)
            with autograd.train_mode():
                trained = net(x).asnumpy()
            states = [p.data().asnumpy() for p in net.collect_params(".*running.*").values()]
            with autograd.record():
                recorded = net(x).asnumpy()
            results.append([trained, *states, recorded, net(x).asnumpy()])
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weights_are_looked_for_and_never_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no weights of 'mobilenet0.25'.*{tmp_path}.*pretrained=False"):
        vision.mobilenet0_25(pretrained=True, root=str(tmp_path))
    net = vision.mobilenet0_25(classes=5)
    net.initialize()
    x = pattern((1, 3, 32, 32))
    expected = net(x).asnumpy()
    net.save_parameters(str(tmp_path / "mobilenet0.25-0123abcd.params"))
    again = vision.get_model("MobileNet0.25", classes=5, pretrained=True, root=str(tmp_path))
    np.testing.assert_array_equal(again(x).asnumpy(), expected)
    assert model_store.get_model_file("mobilenet0.25", str(tmp_path)).endswith("0123abcd.params")


def test_unknown_names():
    with pytest.raises(ValueError, match=r"got 'resnet51_v1'; .*did you mean 'resnet50_v1'"):
        vision.get_model("resnet51_v1")
    with pytest.raises(ValueError, match="got version 3, 18 layers"):
        vision.get_resnet(3, 18)
    with pytest.raises(AssertionError, match="one entry more"):
        vision.ResNetV1(vision.BasicBlockV1, [1], [1])


def test_a_thumbnail_resnet_keeps_small_images_large():
    net = vision.ResNetV1(vision.BasicBlockV1, [1, 1], [4, 4, 8], classes=3, thumbnail=True)
    net.initialize()
    assert net(nd.ones((1, 3, 8, 8))).shape == (1, 3) and net.features[:2](nd.ones((1, 3, 8, 8))).shape == (1, 4, 8, 8)
