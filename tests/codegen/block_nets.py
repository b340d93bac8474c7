"""Nets built of blocks as users write them: language models, BERT, detectors, segmentation."""
from __future__ import annotations

from mxdl.gluon import HybridBlock, nn, rnn


class LanguageModel(HybridBlock):
    """tokens [T, N] -> scores [T, N, vocabulary]."""

    def __init__(self, cell=rnn.LSTM, vocabulary: int = 50, size: int = 20, layers: int = 2, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.embed = nn.Embedding(vocabulary, size)
            self.rnn = cell(size, layers, input_size=size)
            self.decode = nn.Dense(vocabulary, flatten=False, in_units=size)

    def hybrid_forward(self, F, tokens):
        return self.decode(self.rnn(self.embed(tokens)))


class Unrolled(HybridBlock):
    """tokens [N, T] -> scores [N, T, vocabulary], by a cell unrolled over T steps from zero states."""

    def __init__(self, steps: int = 4, vocabulary: int = 30, size: int = 9, **kwargs):
        super().__init__(**kwargs)
        self._steps = steps
        with self.name_scope():
            self.embed = nn.Embedding(vocabulary, size)
            self.cell = rnn.LSTMCell(size, input_size=size)
            self.decode = nn.Dense(vocabulary, flatten=False, in_units=size)

    def hybrid_forward(self, F, tokens):
        outs, _ = self.cell.unroll(self._steps, self.embed(tokens), layout="NTC", merge_outputs=True)
        return self.decode(outs)


class EncoderLayer(HybridBlock):
    """x [T, N, C], mask [N heads, 1, T] -> [T, N, C]."""

    def __init__(self, size: int, hidden: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self._heads = heads
        with self.name_scope():
            self.qkv = nn.Dense(3 * size, flatten=False, in_units=size)
            self.project = nn.Dense(size, flatten=False, in_units=size)
            self.up = nn.Dense(hidden, flatten=False, in_units=size)
            self.down = nn.Dense(size, flatten=False, in_units=hidden)
            self.norms = [nn.LayerNorm(in_channels=size) for _ in range(2)]
            for norm in self.norms:
                self.register_child(norm)

    def hybrid_forward(self, F, x, mask):
        qkv = self.qkv(x)
        scores = F.contrib.interleaved_matmul_selfatt_qk(qkv, heads=self._heads)
        attention = F.softmax(F.broadcast_add(scores, mask), axis=-1)
        values = F.contrib.interleaved_matmul_selfatt_valatt(qkv, attention, heads=self._heads)
        x = self.norms[0](x + self.project(values))
        return self.norms[1](x + self.down(F.LeakyReLU(self.up(x), act_type="gelu")))


class BERT(HybridBlock):
    """tokens, kinds [N, T], lengths [N] -> sequence [N, T, C], pooled [N, C]."""

    def __init__(self, layers: int = 2, size: int = 24, hidden: int = 40, heads: int = 4, vocabulary: int = 30,
                 longest: int = 16, **kwargs):
        super().__init__(**kwargs)
        self._heads = heads
        with self.name_scope():
            self.word = nn.Embedding(vocabulary, size)
            self.kind = nn.Embedding(2, size)
            self.position = self.params.get("position", shape=(longest, size))
            self.norm = nn.LayerNorm(in_channels=size)
            self.layers = [EncoderLayer(size, hidden, heads) for _ in range(layers)]
            for layer in self.layers:
                self.register_child(layer)
            self.pool = nn.Dense(size, activation="tanh", flatten=False, in_units=size)

    def hybrid_forward(self, F, tokens, kinds, lengths, position):
        x = self.word(tokens) + self.kind(kinds)
        steps = F.contrib.arange_like(tokens, axis=1)
        x = F.broadcast_add(x, F.expand_dims(F.take(position, steps), axis=0))
        x = F.transpose(self.norm(x), axes=(1, 0, 2))
        inside = F.broadcast_lesser(F.reshape(steps, shape=(1, -1)), F.reshape(lengths, shape=(-1, 1)))
        inside = F.cast(inside, dtype="float32")
        mask = F.expand_dims(F.repeat((inside - 1) * 1e9, repeats=self._heads, axis=0), axis=1)
        for layer in self.layers:
            x = layer(x, mask)
        first = F.reshape(F.slice_axis(x, axis=0, begin=0, end=1), shape=(-3, 0))
        return F.transpose(x, axes=(1, 0, 2)), self.pool(first)


class SSD(HybridBlock):
    """A single-shot detector over `body`: x [N, 3, H, W] -> detections [N, anchors, 6]."""

    def __init__(self, body, scales, classes: int = 3, width: int = 8, topk: int = 20, **kwargs):
        super().__init__(**kwargs)
        self._classes, self._scales, self._topk = classes, scales, topk
        with self.name_scope():
            self.body = body
            self.heads, self.extras = [], []
            for i, (sizes, ratios) in enumerate(scales):
                if i:
                    extra = nn.HybridSequential()
                    extra.add(nn.Conv2D(width, 1, activation="relu"),
                              nn.Conv2D(2 * width, 3, strides=2, padding=1, activation="relu"))
                    self.extras.append(extra)
                anchors = len(sizes) + len(ratios) - 1
                self.heads.append([nn.Conv2D(anchors * n, 3, padding=1) for n in (classes + 1, 4)])
            for block in (*self.extras, *sum(self.heads, [])):
                self.register_child(block)

    def hybrid_forward(self, F, x):
        x = self.body(x)
        found: list[list] = [[], [], []]
        for i, (sizes, ratios) in enumerate(self._scales):
            x = self.extras[i - 1](x) if i else x
            for parts, head in zip(found, self.heads[i], strict=False):
                parts.append(F.flatten(F.transpose(head(x), axes=(0, 2, 3, 1))))
            found[2].append(F.contrib.MultiBoxPrior(x, sizes=sizes, ratios=ratios))
        scores, offsets, anchors = (F.concat(*parts, dim=1) for parts in found)
        scores = F.transpose(F.reshape(scores, shape=(0, -1, self._classes + 1)), axes=(0, 2, 1))
        return F.contrib.MultiBoxDetection(F.softmax(scores, axis=1), offsets, anchors, nms_threshold=0.45,
                                           nms_topk=self._topk)


class Yolo(HybridBlock):
    """A YOLO-like head: x [N, 3, H, W] -> rows (class, score, box) after suppression."""

    def __init__(self, classes: int = 2, grid: int = 4, **kwargs):
        super().__init__(**kwargs)
        self._classes, self._grid = classes, grid
        with self.name_scope():
            self.body = nn.HybridSequential()
            for filters in (6, 8):
                self.body.add(nn.Conv2D(filters, 3, strides=2, padding=1, use_bias=False), nn.BatchNorm(),
                              nn.LeakyReLU(0.1))
            self.head = nn.Conv2D(5 + classes, 1)

    def hybrid_forward(self, F, x):
        cells = F.reshape(F.transpose(self.head(self.body(x)), axes=(0, 2, 3, 1)), shape=(0, -1, 5 + self._classes))
        places = F.arange(0, self._grid * self._grid)
        columns = places - F.floor(places / self._grid) * self._grid
        at = F.expand_dims(F.stack(columns, F.floor(places / self._grid), axis=1), axis=0)
        middle = F.broadcast_add(F.sigmoid(F.slice_axis(cells, axis=2, begin=0, end=2)), at) / self._grid
        half = F.exp(F.slice_axis(cells, axis=2, begin=2, end=4)) * 0.2
        score = F.broadcast_mul(F.sigmoid(F.slice_axis(cells, axis=2, begin=4, end=5)),
                                F.sigmoid(F.slice_axis(cells, axis=2, begin=5, end=None)))
        best = F.expand_dims(F.argmax(score, axis=2), axis=2)
        rows = F.concat(best, F.max(score, axis=2, keepdims=True), middle - half, middle + half, dim=2)
        kept = F.contrib.box_nms(rows, overlap_thresh=0.3, valid_thresh=0.05, topk=10, id_index=0)
        return F.slice_axis(kept, axis=1, begin=0, end=8)


class Segmentation(HybridBlock):
    """FCN and DeepLab in one: dilated convolutions, image pooling, a transposed convolution, bilinear resizing."""

    def __init__(self, classes: int = 3, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = nn.Conv2D(6, 3, strides=2, padding=1, activation="relu")
            self.wide = [nn.Conv2D(4, 3, padding=d, dilation=d, activation="relu") for d in (1, 2)]
            self.image = nn.Conv2D(4, 1, activation="relu")
            self.score = nn.Conv2D(classes, 1)
            self.up = nn.Conv2DTranspose(classes, 4, strides=2, padding=1)
            for block in self.wide:
                self.register_child(block)

    def hybrid_forward(self, F, x):
        stem = self.stem(x)
        pooled = F.contrib.AdaptiveAvgPooling2D(stem, output_size=1)
        pooled = F.broadcast_like(self.image(pooled), stem, lhs_axes=(2, 3), rhs_axes=(2, 3))
        scores = self.score(F.concat(*[block(stem) for block in self.wide], pooled, dim=1))
        return self.up(scores), F.contrib.BilinearResize2D(scores, height=17, width=13)
