"""What a first training step must not do: load torch's compiler (3 s, 60 MB) for types."""
import subprocess
import sys

import pytest

STEP = """
import sys
import mxdl as mx
from mxdl.gluon import nn

class Net(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.body = nn.HybridSequential()
        self.body.add(nn.Conv2D(8, 3), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.MaxPool2D(), nn.Conv2D(8, 1),
                      nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dropout(0.5), nn.Dense(5))
        self.words = nn.Embedding(7, 8)
        self.loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F, x, word, label):
        return self.loss(self.body(x) + F.slice_axis(self.words(word), axis=1, begin=0, end=5), label)

net = Net()
net.initialize()
net.hybridize(mirror=MIRROR)
with mx.autograd.record():
    loss = net(mx.nd.ones((2, 3, 12, 12)), mx.nd.array([1, 2]), mx.nd.array([0, 4]))
loss.backward()
assert loss.asnumpy().shape == (2,)
print(sorted(m for m in sys.modules if m in ("torch._dynamo", "torch._inductor")))
"""


@pytest.mark.parametrize("mirror", ["False", "'min'"])
def test_a_training_step_does_not_load_the_compiler(mirror):
    run = subprocess.run([sys.executable, "-c", STEP.replace("MIRROR", mirror)], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
