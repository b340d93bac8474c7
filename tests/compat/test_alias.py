"""`import mxnet` gives mxdl after install(), in every spelling that scripts use."""
import subprocess
import sys


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_submodules_are_the_same_objects():
    done = run("from mxdl import compat; compat.install(); compat.install()\n"
               "import mxnet as mx, mxdl, mxnet.kv, mxnet.errors\n"
               "from mxnet import kvstore\nfrom mxnet.errors import MXNetError\n"
               "assert mx.nd is mxdl.nd and kvstore is mxdl.kvstore and mxnet.kv is mxdl.kvstore\n"
               "assert MXNetError is mxdl.MXNetError and mxdl.errors.__spec__.name == 'mxdl.errors'\n")
    assert done.returncode == 0, done.stderr


def test_it_says_which_mxnet_it_is():
    """GluonCV and GluonNLP refuse to be imported where `mxnet.__version__` is not theirs."""
    done = run("from mxdl import compat; compat.install()\nimport importlib.util, mxnet, mxdl\n"
               "assert mxnet.__version__ == '1.9.1' != mxdl.__version__\n"
               "assert importlib.util.find_spec('mxnet').name == 'mxnet' and 'gluon' in dir(mxnet)\n"
               "try: mxnet.nothing\nexcept AttributeError as error: print(error)\n")
    assert done.returncode == 0 and "nothing" in done.stdout, done.stderr


def test_a_module_that_is_not_there():
    done = run("from mxdl import compat; compat.install()\nimport mxnet.notebook.callback\n")
    assert "mxnet.notebook" in done.stderr and "mxdl has no such module" in done.stderr


def test_uninstall_takes_it_away():
    done = run("from mxdl import compat; compat.install(); import mxnet, sys; compat.uninstall()\n"
               "assert 'mxnet' not in sys.modules and not compat.installed()\n")
    assert done.returncode == 0, done.stderr


def test_refuses_when_the_real_one_is_imported():
    done = run("import sys, types; real = sys.modules['mxnet'] = types.ModuleType('mxnet'); real.__file__ = 'real'\n"
               "from mxdl import compat\ncompat.install()\n")
    assert "the real mxnet is already imported (from real)" in done.stderr


def test_run_gives_a_script_its_own_arguments(tmp_path):
    script = tmp_path / "old.py"
    script.write_text("import sys, mxnet, beside\nprint(mxnet.__name__, sys.argv[1:], beside.x, __name__)\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    done = subprocess.run([sys.executable, "-m", "mxdl.cli.main", "run", str(script), "--lr", "3"],
                          capture_output=True, text=True)
    assert done.stdout == "mxnet ['--lr', '3'] 1 __main__\n", done.stderr


OLD_SCRIPT = """
import mxnet as mx
import mxnet.ndarray as nd
from mxnet import autograd, gluon
from mxnet.gluon import nn
from mxnet.gluon.loss import SoftmaxCrossEntropyLoss

mx.random.seed(1)
net = nn.HybridSequential()
net.add(nn.Dense(16, activation='relu'), nn.Dense(2))
net.initialize(mx.init.Xavier(), ctx=mx.cpu())
net.hybridize()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
data = nd.random.normal(shape=(200, 2))
label = data[:, 0] * data[:, 1] > 0
batches = gluon.data.DataLoader(gluon.data.ArrayDataset(data, label), batch_size=20, shuffle=True)
loss_of, metric = SoftmaxCrossEntropyLoss(), mx.metric.Accuracy()
for epoch in range(20):
    metric.reset()
    for x, y in batches:
        with autograd.record():
            out = net(x)
            loss = loss_of(out, y)
        loss.backward()
        trainer.step(x.shape[0])
        metric.update(y, out)
print(metric.get()[1] > 0.9)
"""


def test_a_training_script_written_for_mxnet_runs_unchanged(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(OLD_SCRIPT)
    done = subprocess.run([sys.executable, "-m", "mxdl.cli.main", "run", str(script)], capture_output=True, text=True)
    assert done.stdout.strip().endswith("True"), done.stderr
