"""Mixed precision and the rest of contrib against MXNet 1.9.1: operators, converted symbols, vocabularies."""
import json

import pytest

import mxdl as mx
from mxdl.contrib import amp
from mxdl.ops import registry

pytestmark = pytest.mark.parity

LISTS = ("list_lp16_ops", "list_fp32_ops", "list_lp16_fp32_ops", "list_widest_type_cast",
         "list_loss_output_functions")
#: names that MXNet lists apart from the operator whose alias they are
ODD = {"Convolution_v1", "_sparse_sinh", "_sparse_sum", "_add", "_sparse_concat"}


def test_every_operator_that_mxnet_lists_has_its_class_here(mxnet):
    theirs = mxnet.run("from mxnet.contrib import amp\n"
                       f"result = {{n: list(getattr(amp, n)('float16')) for n in {LISTS}}}")
    compared = 0
    for one in LISTS:
        ours = set(getattr(amp, one)("float16"))
        for name in theirs[one]:
            if registry.find(name) is not None and name not in ODD:
                assert name in ours, (one, name)
                compared += 1
    assert compared >= 490, compared
    theirs = mxnet.run("from mxnet.contrib import amp\n"
                       "result = [[n, a, list(v)] for n, a, v in amp.list_conditional_fp32_ops('float16')]")
    assert [list(map(str, row)) for row in theirs] == [
        [n, a, str(v)] for n, a, v in map(tuple, amp.list_conditional_fp32_ops("float16"))]


NETS = {
    "residual": """
c = s.Convolution(d, num_filter=4, kernel=(3, 3), name='conv')
r = s.Activation(s.BatchNorm(c, name='bn'), act_type='relu', name='relu')
c2 = s.Convolution(r, num_filter=4, kernel=(3, 3), pad=(1, 1), name='conv2')
a = c2 + r
f = s.FullyConnected(s.Concat(a, s.exp(a, name='e'), c2, name='cc') * 2, num_hidden=3, name='fc')
net = s.SoftmaxOutput(s.FullyConnected(f, num_hidden=3, name='fc2'), name='softmax')
""",
    "conditions": """
net = s.Group([s.LeakyReLU(d, act_type='elu'), s.LeakyReLU(d, act_type='leaky'), s.Activation(d, act_type='softrelu'),
               s.split(d, num_outputs=2, name='sp')[1] + s.FullyConnected(d, num_hidden=2, name='f'),
               s.LayerNorm(d, name='ln'), d + d, s.where(d, d, s.exp(d)),
               s.Dropout(s.Embedding(d, input_dim=3, output_dim=2, name='emb'))])
""",
    "outputs": """
f = s.FullyConnected(d, num_hidden=2, name='f')
net = s.Group([s.exp(s.split(f, num_outputs=2, name='sp')[1]) + f * 2, s.relu(f, name='r'), s.batch_dot(f, s.exp(f))])
""",
}
OPTIONS = ["", "excluded_sym_names=['fc2', 'bn']", "data_names=['data']",
           "data_names=['data'], cast_optional_params=True", "cast_optional_params=True",
           "conditional_fp32_ops=[('Activation', 'act_type', ['relu'])]"]


@pytest.mark.parametrize("net, options", [*(("residual", o) for o in OPTIONS), ("conditions", ""), ("outputs", "")])
def test_converted_symbols_have_the_same_nodes(net, options, mxnet):
    source = f"""
s = mx.sym
d = s.var('data')
{NETS[net]}
result = mx.contrib.amp.convert_symbol(net, {options}).tojson(remove_amp_cast=False)
"""
    space = {"mx": mx}
    with mx.name.NameManager():
        exec(source, space)
    assert rows(space["result"]) == rows(mxnet.run(source.replace("mx.contrib.amp", "__import__('mxnet.contrib.amp')"
                                                                  ".contrib.amp")))


def rows(text):
    """(operator, name, attributes, inputs by name) of every node, and the outputs."""
    graph = json.loads(text)
    # an operator of one output may call it "0" in MXNet; ours is always "output"
    names = [n["name"].replace("_0_amp_cast", "_output_amp_cast") for n in graph["nodes"]]
    return [(n["op"], names[i], n.get("attrs"), [(names[at], index) for at, index, _ in n["inputs"]])
            for i, n in enumerate(graph["nodes"])], [(names[at], index) for at, index, _ in graph["heads"]]


def test_converted_parameters_have_the_same_dtypes(same_as_mxnet):
    same_as_mxnet("""
import importlib
amp = importlib.import_module(mx.__name__ + '.contrib.amp')
d = mx.sym.var('data')
net = mx.sym.FullyConnected(mx.sym.BatchNorm(mx.sym.FullyConnected(d, num_hidden=3, name='a'), name='n'), num_hidden=2,
                            name='b')
args = {'a_weight': mx.nd.ones((3, 4)), 'a_bias': mx.nd.ones(3), 'b_weight': mx.nd.ones((2, 3)),
        'b_bias': mx.nd.ones(2), 'n_gamma': mx.nd.ones(3), 'n_beta': mx.nd.ones(3)}
aux = {'n_moving_mean': mx.nd.ones(3), 'n_moving_var': mx.nd.ones(3)}
result = []
for optional in (False, True):
    _, a, x = amp.convert_model(net, args, aux, cast_optional_params=optional)
    result.append({k: np.dtype(v.dtype).name for k, v in list(a.items()) + list(x.items())})
""")


def test_vocabularies(same_as_mxnet):
    same_as_mxnet("""
from collections import Counter
text = mx.contrib.text
c = text.utils.count_tokens_from_str(' Life is great ! \\n life is good . \\n', to_lower=True)
v = text.vocab.Vocabulary(c, reserved_tokens=['<pad>'])
w = text.vocab.Vocabulary(Counter(['a', 'b', 'b', 'c', 'c', 'c', 'd$']), most_freq_count=2, min_freq=2)
result = [dict(c), v.idx_to_token, v.token_to_idx, v.to_indices(['is', 'zz']), v.to_indices('!'), v.to_tokens([1, 2]),
          v.to_tokens(3), len(v), v.reserved_tokens, v.unknown_token, w.idx_to_token]
""")


def test_word_vectors(same_as_mxnet, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("a 0.1 0.2 0.3\nb 1 2 3\nb 5 6 7\nc 1 2 4\n<unk> 9 9 9\n")
    same_as_mxnet("""
import warnings
warnings.simplefilter('ignore')
from collections import Counter
text = mx.contrib.text
e = text.embedding.CustomEmbedding(path)
v = text.vocab.Vocabulary(Counter(['a', 'b', 'b', 'q']))
some = text.embedding.CustomEmbedding(path, vocabulary=v)
both = text.embedding.CompositeEmbedding(v, [e, some])
result = [e.idx_to_token, e.idx_to_vec, e.vec_len, e.get_vecs_by_tokens(['a', 'B', 'q']), e.get_vecs_by_tokens('b'),
          e.get_vecs_by_tokens('B', lower_case_backup=True), some.idx_to_token, some.idx_to_vec, both.idx_to_vec,
          both.token_to_idx, both.vec_len]
e.update_token_vectors(['a', 'b'], mx.nd.ones((2, 3)) * 7)
result.append(e.idx_to_vec.copy())
e.update_token_vectors('a', mx.nd.ones(3))
result.append(e.idx_to_vec)
""", path=str(path))


def test_data_loaders_as_iterators(same_as_mxnet):
    same_as_mxnet("""
ds = mx.gluon.data.ArrayDataset(np.arange(10).reshape(5, 2).astype('float32'), np.arange(5).astype('float32'))
it = mx.contrib.io.DataLoaderIter(mx.gluon.data.DataLoader(ds, batch_size=2))
result = [it.batch_size, [tuple(d.shape) for d in it.provide_data], [d.name for d in it.provide_label]]
for batch in it:
    n = 2 - batch.pad
    result += [batch.data[0][:n], batch.label[0][:n], batch.pad]
it.reset()
result.append(len(list(it)))
""")


def test_old_autograd(same_as_mxnet):
    same_as_mxnet("""
ag = mx.contrib.autograd
x, y = mx.nd.array([1., 2.]), mx.nd.array([3., 4.])
grads, loss = ag.grad_and_loss(lambda a, b: a * a * b)(x, y)
result = [*grads, loss, *ag.grad(lambda a, b: a * b, argnum=1)(x, y)]
with ag.train_section():
    a = mx.autograd.is_recording(), mx.autograd.is_training()
    with ag.test_section():
        b = mx.autograd.is_recording(), mx.autograd.is_training()
result += [*a, *b]
""")
