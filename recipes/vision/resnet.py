"""He et al.'s residual net for 32x32 pictures (arXiv:1512.03385, section 4.2)."""
from mxdl.gluon import HybridBlock, nn


class BasicBlock(HybridBlock):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, stride: int, in_channels: int, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            self.body.add(nn.Conv2D(channels, 3, stride, 1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"),
                          nn.Conv2D(channels, 3, 1, 1, use_bias=False), nn.BatchNorm())
            self.shortcut = None
            if stride != 1 or channels != in_channels:
                self.shortcut = nn.HybridSequential(prefix="shortcut_")
                self.shortcut.add(nn.Conv2D(channels, 1, stride, use_bias=False), nn.BatchNorm())

    def hybrid_forward(self, F, x):
        """x: float[N, C, H, W]"""
        residual = self.shortcut(x) if self.shortcut else x
        return F.Activation(self.body(x) + residual, act_type="relu")


class CifarResNet(HybridBlock):
    """A convolution, three stages of `blocks` basic blocks with doubling width, the mean, and one dense layer."""

    def __init__(self, classes: int, blocks: int, width: int, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self.features.add(nn.Conv2D(width, 3, 1, 1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
            channels = width
            for stage in range(3):
                for block in range(blocks):
                    wanted, stride = width * 2 ** stage, 2 if stage and not block else 1
                    self.features.add(BasicBlock(wanted, stride, channels))
                    channels = wanted
            self.features.add(nn.GlobalAvgPool2D(), nn.Flatten())
            self.output = nn.Dense(classes)

    def hybrid_forward(self, F, x):
        """x: float[N, C, H, W]; returns float[N, classes]"""
        return self.output(self.features(x))
