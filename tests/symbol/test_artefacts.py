"""Files that MXNet 0.5 to 1.7 wrote, found in the wild (data set `mxnet-artefacts` under MXDL_DATA)."""
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl import config
from mxdl.errors import NotBuiltError

FOLDER = (config.data_folder() or Path("nowhere")) / "mxnet-artefacts"
FILES = sorted(FOLDER.glob("*/*.json*"))
# MXNet 1.9.1 counts no write to the states that it adds to files older than 0.9.0 itself.
VERSION = re.compile(r"(\[\d+, \d+), \d+\]")

needs_files = pytest.mark.skipif(not FILES, reason="MXDL_DATA/mxnet-artefacts is not there")


def text_of(path):
    return gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()


def identity(path):
    return path.name.removesuffix(".gz").removesuffix(".json")


@needs_files
@pytest.mark.parametrize("path", FILES, ids=identity)
def test_every_file_loads_and_survives_a_round_trip(path):
    net = mx.sym.load_json(text_of(path))
    again = mx.sym.load_json(net.tojson())
    assert again.tojson() == net.tojson()
    assert again.list_arguments() == net.list_arguments() and again.list_outputs() == net.list_outputs()


@needs_files
@pytest.mark.parity
@pytest.mark.parametrize("path", [p for p in FILES if "int8" not in p.name and "e0be90f" not in p.name], ids=identity)
def test_what_is_written_again_is_what_mxnet_writes(path, mxnet):
    text = text_of(path)
    theirs = mxnet.run("s = mx.sym.load_json(text); result = [s.tojson(), s.list_auxiliary_states()]", text=text)
    ours = mx.sym.load_json(text)
    assert VERSION.sub(r"\1]", ours.tojson()) == VERSION.sub(r"\1]", theirs[0])
    assert ours.list_auxiliary_states() == theirs[1]


@needs_files
def test_old_files_get_their_states_back():
    net = mx.sym.load(FOLDER / "char-rec/inception-bn-28-symbol.json")
    states = net.list_auxiliary_states()
    assert len(states) == 38 and states[0] == "batchnorm0_moving_mean"
    assert net.attr_dict()[states[0]]["__init__"] == '["zero", {}]'
    hidden = mx.sym.load(FOLDER / "apache-tests/save_000800.56cabc5.json").attr_dict()
    assert hidden["fc1_weight"]["lr_mult"] == "1.2" and hidden["fc1"]["ctx_group"] == "stage1"


@needs_files
def test_int8_graphs_load_and_say_what_cannot_run():
    net = mx.sym.load_json(text_of(FOLDER / "gluoncv/mobilenet1.0_int8-symbol.json.gz"))
    assert len(net.list_auxiliary_states()) == 54
    fused = next(n for n in net.graph().nodes if n.op is not None and n.op.name == "_sg_mkldnn_conv")
    assert [n.op.name for n in fused.op.subgraphs[0].nodes if n.op is not None] == [
        "Convolution", "BatchNorm", "Activation"]
    assert "subgraphs" in json.loads(net.tojson())["nodes"][net.graph().nodes.index(fused)]
    with pytest.raises(NotBuiltError, match=rf"_sg_mkldnn_conv.*{fused.name}"):
        fused.op.kernel(None)


CHECKPOINTS = {"mtcnn/det1": (1, (2, 3, 40, 36)), "mtcnn/det2": (1, (2, 3, 24, 24)), "mtcnn/det3": (1, (2, 3, 48, 48)),
               "mtcnn/det4": (1, (2, 15, 24, 24)), "gender-age/model": (0, (1, 3, 112, 112))}
RUN = """
net, arguments, states = mx.model.load_checkpoint(prefix, epoch)
bound = net.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
bound.copy_params_from(arguments, states, allow_extra_params=True)
result = [out.asnumpy() for out in bound.forward(data=mx.nd.array(x))]
"""


@needs_files
@pytest.mark.parity
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_old_checkpoints_compute_what_mxnet_computes(name, mxnet):
    epoch, shape = CHECKPOINTS[name]
    space = {"mx": mx, "prefix": str(FOLDER / name), "epoch": epoch,
             "x": np.random.default_rng(0).uniform(0, 1, shape).astype("float32")}
    theirs = mxnet.run(RUN, **{key: space[key] for key in ("prefix", "epoch", "x")})
    exec(RUN, space)
    for ours, expected in zip(space["result"], theirs, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
