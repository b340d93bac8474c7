"""Model-zoo nets go to MXNet 1.9.1 and come from it as files, and compute the same; real record files are read."""
import gzip
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl import config

BUILD = """
np.random.seed(1)
net = mx.gluon.model_zoo.vision.get_model(name, classes=10)
net.initialize(mx.init.Xavier())
net.hybridize()
net(mx.nd.array(x))
for name, p in net.collect_params().items():
    if name.endswith('running_mean'): p.set_data(mx.nd.array(np.random.randn(*p.shape) * 0.1))
    if name.endswith('running_var'): p.set_data(mx.nd.array(np.random.rand(*p.shape) + 0.5))
net.export(path)
result = net(mx.nd.array(x)).asnumpy()
"""
LOAD = """
net = mx.gluon.SymbolBlock.imports(path + '-symbol.json', ['data'], path + '-0000.params')
result = net(mx.nd.array(x)).asnumpy()
"""


def here(source, **values):
    space = {**values, "mx": mx, "np": np}
    exec(source, space)
    return space["result"]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "side"), [("resnet18_v1", 64), ("resnet50_v2", 64), ("mobilenet0.25", 64),
                                            ("mobilenetv2_0.25", 64), ("vgg11", 32)])
def test_zoo_nets_both_ways(name, side, mxnet, tmp_path):
    x = np.random.RandomState(0).randn(2, 3, side, side).astype("float32")
    for write, read in ((mxnet.run, here), (here, mxnet.run)):
        path = str(tmp_path / write.__name__)
        expected = write(BUILD, name=name, path=path, x=x)
        assert abs(read(LOAD, path=path, x=x) - expected).max() <= 1e-5 * abs(expected).max()


RECORDS = {"char-rec/train.rec": 1380, "char-rec/val.rec": 392, "det-rec/train.rec": 12, "face-rec/train.rec": 1632,
           "protobuf-rec/val.rec.gz": None}


@pytest.mark.parametrize("name", RECORDS)
def test_real_record_files(name, tmp_path):
    source = (config.data_folder() or Path("nowhere")) / "mxnet-artefacts" / name
    if not source.exists():
        pytest.skip("MXDL_DATA/mxnet-artefacts is not there")
    if source.suffix == ".gz":
        (tmp_path / "records").write_bytes(gzip.decompress(source.read_bytes()))
        source = tmp_path / "records"
    reader = mx.recordio.MXRecordIO(str(source), "r")
    records = list(iter(reader.read, None))
    assert len(records) == (RECORDS[name] or len(records)) > 0
    if RECORDS[name]:
        header, picture = mx.recordio.unpack_img(records[-1])
        assert min(picture.shape[:2]) > 20 and np.all(np.asarray(header.label) >= 0)
