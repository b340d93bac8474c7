"""What goes wrong for a new user gives one clear error: where, what is wrong, what to do.  Nothing is lost."""
import errno
import os
import resource
import subprocess
import sys

import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd
from mxdl.errors import DeviceError, FileFormatError, MXNetError, OperatorError
from mxdl.gluon import nn


class Body(gluon.HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = nn.HybridSequential()
        self.body.add(nn.Conv2D(8, 3, in_channels=8), nn.Conv2D(8, 3, in_channels=5))

    def hybrid_forward(self, F, x):
        return self.body(x)  # the wrong shape meets its layer below this line


class Net(gluon.HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.features = nn.HybridSequential()
        self.features.add(nn.Conv2D(8, 3), nn.BatchNorm(), nn.Activation("relu"), Body())
        self.output = nn.Dense(3)

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))


def line_of(text):
    with open(__file__, encoding="utf-8") as source:
        return next(number for number, line in enumerate(source, 1) if text in line)


@pytest.mark.parametrize("hybrid", [False, True], ids=["eager", "hybrid"])
def test_a_wrong_shape_deep_inside_names_block_and_line(hybrid):
    net = Net(prefix="net_")
    net.initialize()
    net.hybridize(hybrid)
    with pytest.raises(OperatorError) as caught:
        net(nd.ones((2, 3, 16, 16)))
    text = str(caught.value)
    assert "net.features.3.body.1 (Conv2D " in text and "float32[2, 8, 12, 12]" in text, text
    assert f"test_failures.py:{line_of('# the wrong shape meets')}" in text, text


@pytest.mark.parametrize("hybrid", [False, True], ids=["eager", "hybrid"])
def test_wrong_types_name_operator_types_and_block(hybrid):
    net = nn.Dense(3, in_units=4, prefix="dense_")
    net.initialize()
    net.hybridize(hybrid)
    with pytest.raises(OperatorError, match=r"FullyConnected.*data=float64\[2, 4\](.|\n)*in dense \(Dense dense\)"):
        net(nd.ones((2, 4), dtype="float64"))
    with pytest.raises(MXNetError, match=r"Convolution: data should have 4 axes for a kernel of 2; got shape \(2, 3\)"):
        layer = nn.Conv2D(3, 3)
        layer.initialize()
        layer.hybridize(hybrid)
        layer(nd.ones((2, 3)))


def test_steps_that_were_forgotten():
    net = nn.HybridSequential(prefix="net_")
    net.add(nn.Dense(3))
    net.hybridize()
    with pytest.raises(RuntimeError, match=r"dense\d+_weight.*not initialized.*call initialize\(\)"):
        net(nd.ones((2, 4)))
    net = nn.Dense(3, in_units=4)
    net.initialize()
    net.hybridize()
    with pytest.raises(RuntimeError, match=r"export: there is no trace to write yet.*call hybridize"):
        net.export("nothing")
    with pytest.raises(MXNetError, match=r"backward: head 0 was not computed.*autograd\.record\(\)"):
        net(nd.ones((2, 4))).backward()
    for hybrid in (True, False):
        net.hybridize(hybrid)
        with autograd.record():
            loss = net(nd.ones((2, 4))).sum()
        loss.backward()
        with pytest.raises(MXNetError, match="already differentiated.*retain_graph=True"):
            loss.backward()


def test_words_that_nothing_knows():
    with pytest.raises(TypeError, match="Dense: unknown argument; got activaton='relu'; did you mean 'activation'"):
        nn.Dense(3, activaton="relu")
    with pytest.raises(TypeError, match="Conv2D: unknown argument; got paddings=1; did you mean 'padding'"):
        nn.Conv2D(3, 3, paddings=1)
    with pytest.raises(MXNetError, match="hybridize: unknown option; got static_aloc.*did you mean 'static_alloc'"):
        nn.Dense(3).hybridize(static_aloc=True)
    with pytest.raises(OperatorError, match="no attribute 'num_hiden'.*did you mean 'num_hidden'"):
        nd.FullyConnected(nd.ones((2, 4)), nd.ones((3, 4)), num_hiden=3)


@pytest.mark.parametrize("make", [lambda **kwargs: mx.optimizer.create("sgd", **kwargs),
                                  lambda **kwargs: mx.gluon.Trainer(nn.Dense(2).collect_params(), "sgd", kwargs)])
def test_a_mistyped_argument_of_an_optimizer(make):
    with pytest.raises(TypeError, match="SGD: unknown argument; got momentun=0.9; did you mean 'momentum'"):
        make(momentun=0.9)


@pytest.mark.parametrize("place, name, near", [
    (mx.nd, "FullyConected", "FullyConnected"), (mx.sym, "FullyConected", "FullyConnected"),
    (mx.nd.contrib, "box_nmss", "box_nms"), (mx.sym.contrib, "box_nmss", "box_nms"),
    (mx.nd.random, "unifrom", "uniform"), (mx.sym.random, "unifrom", "uniform"), (mx.sym.linalg, "gem", "gemm")])
def test_a_mistyped_function(place, name, near):
    with pytest.raises(AttributeError, match=f"nothing is called '{name}' here; did you mean '{near}'"):
        getattr(place, name)
    assert not hasattr(place, "_FullyConected")


def test_files_that_are_not_there(tmp_path):
    nd.save(tmp_path / "weights.params", {"a": nd.ones(2)})
    net = nn.Dense(2, in_units=2)
    net.initialize()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    for read, name in ((nd.load, "weight.params"), (net.load_parameters, "weights.parms"), (mx.sym.load, "weights"),
                       (trainer.load_states, "weights.param")):
        with pytest.raises(MXNetError, match=f"there is no such file; got .*{name}'; check the path; "
                                             f"did you mean 'weights.params'"):
            read(str(tmp_path / name))
        with pytest.raises(FileNotFoundError, match="it is a folder"):
            read(str(tmp_path))


def test_what_an_eager_kernel_refuses_ends_in_what_to_do():
    with pytest.raises(OperatorError, match=r"Convolution\(data=float32\[2, 3, 4, 4\].*change what does not fit"):
        nd.Convolution(nd.ones((2, 3, 4, 4)), nd.ones((2, 5, 3, 3)), kernel=(3, 3), num_filter=2, no_bias=True)


def test_a_gpu_that_is_not_there_can_be_named_but_not_used():
    missing = mx.gpu(mx.context.num_gpus())
    with pytest.raises(DeviceError, match=r"gpu\(\d+\): no such GPU; this machine has \d+.*mx\.cpu\(\)"):
        nd.ones((2,), ctx=missing)
    with pytest.raises(DeviceError, match="no such GPU"):
        nd.ones((2,)).as_in_context(missing)


def test_a_graph_with_an_operator_that_mxdl_lacks(tmp_path):
    text = nn.Dense(3, in_units=2, prefix="fc_")(mx.sym.var("data")).tojson()
    path = tmp_path / "net-symbol.json"
    path.write_text(text.replace('"FullyConnected"', '"FullyKonnected"'))
    with pytest.raises(OperatorError, match=r"net-symbol\.json: .*FullyKonnected \(node 'fc_fwd'"):
        gluon.SymbolBlock.imports(str(path), ["data"])


def test_damaged_files_name_the_file_and_the_byte(tmp_path):
    path = str(tmp_path / "net.params")
    nd.save(path, {"weight": nd.ones((10, 10))})
    whole = (tmp_path / "net.params").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "net.params").write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"net\.params: the file ends inside.*at byte \d+ of \d+.*truncated"):
            nd.load(path)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The limit on a file's size stands for the full disk; the write fails half way in the same manner."""
    path = tmp_path / "net.params"
    nd.save(str(path), {"weight": nd.ones((3,))})
    before = path.read_bytes()
    program = ("import sys, mxdl as mx\n"
               "try:\n    mx.nd.save(sys.argv[1], {'weight': mx.nd.ones((100000,))})\n"
               "except OSError as error:\n    print(error.errno, error)\n")
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert done.stdout.startswith(str(errno.EFBIG)) and f"cannot write {path}" in done.stdout, done
    assert "what was there before is untouched" in done.stdout
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.params"]


RECIPE = """task:
  name: image_clasification
summary: five mistakes
seed: one
model:
  name: lenet
  chanels: [16, 32]
data: digits
optimizer:
  name: adamm
schedule: cosine
train:
  epochs: -1
  batch_size: 32
expect:
  metric: accuracy
  value: 0.99
  tolerance: 0.02
"""


def test_a_recipe_with_five_mistakes_gives_five_lines(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE)
    done = subprocess.run([sys.executable, "-m", "mxdl.cli.main", "train", "mine.yaml"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 2 and "5 mistakes" in done.stderr, done.stderr
    for line, mistake in ((2, "'image_classification'"), (4, "seed: must be an integer"), (7, "'channels'"),
                          (10, "'adam'"), (13, "train.epochs: must be an integer, at least 1")):
        assert any(f"mine.yaml:{line}: " in text and mistake in text for text in done.stderr.splitlines()), mistake
    assert os.listdir(tmp_path) == ["mine.yaml"]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    done = subprocess.run([sys.executable, "-m", "mxdl.cli.main", "train", "vision/lenet_digits", "train.epochs=1",
                           "optimizer.learning_rate=1e30", "--out", "run"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "the loss is nan at step" in done.stderr and "lower optimizer.learning_rate" in done.stderr
