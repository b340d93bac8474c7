"""The stores of one process: values, reduction, updaters, errors, states."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mxdl as mx
from mxdl import kvstore
from mxdl.kvstore import JobError, KVStoreBase, KVStoreError, StoreNotBuiltError


@pytest.fixture(params=["local", "device"])
def store(request):
    return kvstore.create(request.param)


def pulled(store, key, shape=(2,)):
    out = torch.full(shape, -1.0)
    store.pull(key, out)
    return out


def test_a_push_without_updater_replaces_the_value_by_the_sum_over_devices(store):
    store.init(3, torch.zeros(2))
    store.push(3, [torch.full((2,), 7.0), torch.ones(2)])
    assert pulled(store, 3).tolist() == [8, 8]


def test_the_store_does_not_alias_what_is_pushed(store):
    store.init(0, torch.zeros(2))
    grad = torch.ones(2)
    store.push(0, grad)
    grad.fill_(9)
    assert pulled(store, 0).tolist() == [1, 1]


def test_an_updater_sees_a_single_pushed_array_uncopied(store):
    seen = []
    store.init(0, torch.zeros(2))
    store.set_updater(lambda key, grad, weight: seen.append(grad.data_ptr()))
    grad = torch.ones(2)
    store.push(0, grad)
    assert seen == [grad.data_ptr()]


def test_the_updater_runs_once_per_key_and_a_repeated_key_is_summed(store):
    calls = []

    def update(key, grad, weight):
        calls.append((key, grad.tolist()))
        weight.add_(grad, alpha=2)

    store.init(["a", "b"], [torch.ones(1), torch.ones(1)])
    store.set_updater(update)
    store.push(["a", "b", "a"], [torch.ones(1), torch.ones(1) * 2, torch.ones(1) * 3])
    assert calls == [("a", [4.0]), ("b", [2.0])]
    assert pulled(store, "a", (1,)).tolist() == [9]


def test_an_updater_that_takes_lists_is_called_once_a_push(store):
    class Update:
        takes_lists = True
        calls = 0

        def __call__(self, keys, grads, weights):
            self.calls += 1
            torch._foreach_sub_(weights, grads)

    store.init([1, 2, 3], [torch.ones(2)] * 3)
    update = Update()
    store.set_updater(update)
    store.push([1, 2, 3], [[torch.ones(2) * key] * 2 for key in (1, 2, 3)])
    assert update.calls == 1
    assert [pulled(store, key)[0].item() for key in (1, 2, 3)] == [-1, -3, -5]


def test_pushpull_writes_the_sum_over_the_values_and_remembers_it(store):
    store.init("w", torch.zeros(2))
    values = [torch.ones(2), torch.ones(2) * 2]
    store.pushpull("w", values)
    assert [value.tolist() for value in values] == [[3, 3], [3, 3]]
    values[0].fill_(9)
    assert pulled(store, "w").tolist() == [3, 3]
    store.pushpull("w", values[0])
    values[0].fill_(7)
    assert pulled(store, "w").tolist() == [9, 9]


def test_pushpull_with_an_updater_writes_the_updated_value(store):
    store.init("w", torch.zeros(2))
    store.set_updater(lambda key, grad, weight: weight.sub_(grad))
    out = [torch.zeros(2), torch.zeros(2)]
    store.pushpull("w", [torch.ones(2), torch.ones(2)], out=out)
    assert out[1].tolist() == [-2, -2]


def test_arrays_with_a_gradient_may_be_pushed_and_pulled_into(store):
    weight = torch.ones(2, requires_grad=True)
    store.init(0, weight)
    store.push(0, [weight, weight])
    store.pull(0, weight)
    assert weight.tolist() == [2, 2] and weight.is_leaf and weight.requires_grad
    store.pushpull(0, [weight * 1, weight * 2])
    assert not store._values[0].requires_grad


def test_a_value_keeps_its_dtype(store):
    store.init(0, torch.zeros(2, dtype=torch.float16))
    store.push(0, [torch.ones(2), torch.ones(2)])
    assert store._values[0].dtype == torch.float16 and pulled(store, 0).tolist() == [2, 2]


def test_broadcast_initialises_and_writes_every_output(store):
    out = [torch.zeros(2), torch.zeros(2)]
    store.broadcast(11, torch.ones(2) * 4, out)
    assert [array.tolist() for array in out] == [[4, 4], [4, 4]]


def test_a_pull_converts_to_the_dtype_of_the_output(store):
    store.init(0, torch.ones(2, dtype=torch.float16) * 3)
    assert pulled(store, 0).dtype == torch.float32 and pulled(store, 0).tolist() == [3, 3]


def test_pull_to_nested_lists(store):
    store.init([1, 2], [torch.ones(1), torch.ones(1) * 2])
    out = [[torch.zeros(1), torch.zeros(1)], [torch.zeros(1)]]
    store.pull([1, 2], out)
    assert [[array.item() for array in group] for group in out] == [[1, 1], [2]]


class Array:
    """An array class of somebody's: what mxdl's NDArray is to a store."""

    def __init__(self, tensor):
        self.tensor = tensor

    def to_torch(self):
        return self.tensor

    @staticmethod
    def from_torch(tensor):
        return Array(tensor)


def test_arrays_that_hold_a_tensor(store):
    def update(key, grad, weight):
        assert type(grad) is type(weight) is Array
        weight.tensor.sub_(grad.tensor)

    store.init(0, Array(torch.zeros(2)))
    store.set_updater(update)
    store.push(0, [Array(torch.ones(2)), Array(torch.ones(2))])
    out = Array(torch.zeros(2))
    store.pull(0, out)
    assert out.tensor.tolist() == [-2, -2]


def test_overwriting_goes_past_the_updater(store):
    store.init(0, torch.zeros(2))
    store.set_updater(lambda key, grad, weight: weight.sub_(grad))
    store.overwrite(0, torch.ones(2) * 5)
    assert pulled(store, 0).tolist() == [5, 5]


def row_sparse(ids, rows, length):
    return torch.sparse_coo_tensor(torch.tensor([ids]), torch.tensor(rows), (length, len(rows[0])),
                                   check_invariants=False).coalesce()


def test_row_sparse_values_are_summed_and_rows_pulled(store):
    store.init("e", torch.zeros(4, 2))
    store.set_updater(lambda key, grad, weight: weight.add_(grad.to_dense() if grad.is_sparse else grad))
    store.push("e", [row_sparse([1], [[1.0, 1.0]], 4), row_sparse([1, 3], [[1.0, 1.0], [5.0, 5.0]], 4)])
    out = row_sparse([0], [[0.0, 0.0]], 4)
    store.row_sparse_pull("e", out, 0, torch.tensor([3, 1, 3]))      # the order of MXNet's arguments
    assert out.coalesce().indices().tolist() == [[1, 3]]
    assert out.coalesce().values().tolist() == [[2, 2], [5, 5]]
    dense = torch.ones(4, 2)
    store.row_sparse_pull("e", dense, row_ids=torch.tensor([3]))
    assert dense.tolist() == [[0, 0], [0, 0], [0, 0], [5, 5]]


@pytest.mark.parametrize("call, message", [
    (lambda store: store.init(0, torch.ones(2)), "has a value already"),
    (lambda store: store.init("a", torch.ones(2)), "this store's keys are int"),
    (lambda store: store.init([1, "a"], [torch.ones(2)] * 2), "keys are int"),
    (lambda store: store.init(1.5, torch.ones(2)), "int or a str"),
    (lambda store: store.push(9, torch.ones(2)), "no value yet"),
    (lambda store: store.push(0, torch.ones(3)), r"has shape \(2,\); got \(3,\)"),
    (lambda store: store.push([0, 1], [torch.ones(2)]), "list of 2 values; got 1"),
    (lambda store: store.pull(0, None), "needs an array; got NoneType"),
    (lambda store: store.save_optimizer_states("x"), "runs no optimizer"),
    (lambda store: store.is_capable("foo"), "foo"),
])
def test_a_wrong_call_says_what_is_wrong(store, call, message):
    store.init(0, torch.zeros(2))
    with pytest.raises(KVStoreError, match=message):
        call(store)
    assert pulled(store, 0).tolist() == [0, 0]


def test_a_store_that_is_not_built_says_so():
    with pytest.raises(StoreNotBuiltError, match="'byteps' is not built yet.*'dist_sync' adds inside a machine first"):
        kvstore.create("byteps")


def test_what_a_pull_lacks_is_told():
    store = kvstore.create("local")
    store.init("e", torch.zeros(4, 2))
    for call in (store.pull, store.row_sparse_pull, lambda key: store.row_sparse_pull(key, out=torch.zeros(4, 2))):
        with pytest.raises(KVStoreError, match="pull: key 'e' needs an array; got NoneType"):
            call("e")


LAZY = {"sgd": {"momentum": 0.9, "wd": 0.1}, "adam": {"wd": 0.1}, "ftrl": {}}


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("device", ["local", "device"])
def test_an_optimizer_updates_the_rows_of_a_row_sparse_push_and_their_states_only(name, device):
    settings = dict(LAZY[name], learning_rate=0.5)
    store, alone = kvstore.create(device), kvstore.create("local")
    begin = torch.arange(8.0).view(4, 2)
    store.init("e", mx.nd.array(begin.numpy()))
    alone.init("e", mx.nd.array(begin[[1, 3]].numpy()))        # the same rows as a table of their own, pushed densely
    for one in (store, alone):
        one.set_optimizer(mx.optimizer.create(name, **settings))
    for scale in (1.0, -2.0):
        store.push("e", [row_sparse([1], [[scale, 3.0]], 4), row_sparse([3, 1], [[5.0, scale], [1.0, 1.0]], 4)])
        alone.push("e", mx.nd.array([[scale + 1, 4.0], [5.0, scale]]))
    found, wanted = mx.nd.zeros((4, 2)), mx.nd.zeros((2, 2))
    store.pull("e", found)
    alone.pull("e", wanted)
    assert (found.asnumpy()[[1, 3]] == wanted.asnumpy()).all() and (wanted.asnumpy() != begin[[1, 3]].numpy()).all()
    assert (found.asnumpy()[[0, 2]] == begin[[0, 2]].numpy()).all()


def test_an_optimizer_that_is_not_lazy_updates_all_rows():
    sparse, dense = kvstore.create("local"), kvstore.create("local")
    for store in (sparse, dense):
        store.init("e", mx.nd.ones((4, 2)))
        store.set_optimizer(mx.optimizer.create("sgd", learning_rate=0.5, wd=0.1, lazy_update=False))
    grad = row_sparse([2], [[1.0, 2.0]], 4)
    sparse.push("e", grad)
    dense.push("e", mx.nd.array(grad.to_dense().numpy()))
    found, wanted = mx.nd.zeros((4, 2)), mx.nd.zeros((4, 2))
    sparse.pull("e", found)
    dense.pull("e", wanted)
    assert (found.asnumpy() == wanted.asnumpy()).all() and (found.asnumpy() != 1).all()


def test_rows_for_a_function_of_dense_arrays_are_refused():
    store = kvstore.create("local")
    store.init("e", mx.nd.zeros((4, 2)))
    store.set_updater(lambda key, grad, weight: weight.__iadd__(grad))
    with pytest.raises(StoreNotBuiltError, match="push: key 'e': an updater of one's own takes dense NDArray; got"):
        store.push("e", torch.ones(4, 2).to_sparse(1))


def test_a_worker_is_no_server():
    with pytest.raises(JobError, match=r"KVStoreServer.run: this process is a worker; set DMLC_ROLE=server"):
        kvstore.KVStoreServer(kvstore.create("local")).run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is wrong where there is no GPU")
def test_nccl_without_a_gpu_says_so():
    with pytest.raises(KVStoreError, match="'nccl' sums on GPUs by NCCL; got: no CUDA GPU is seen; use 'device'"):
        kvstore.create("nccl")


def test_create_suggests_a_near_name():
    with pytest.raises(KVStoreError, match="did you mean 'device'"):
        kvstore.create("devise")
    with pytest.raises(TypeError):
        kvstore.create(3)


def test_names_are_not_case_sensitive():
    assert kvstore.create("Local").type == "local"
    assert kvstore.create("local_allreduce_device").type == "local_allreduce_device"


def test_people_can_register_a_store():
    @KVStoreBase.register
    class TestOnlyStore(KVStoreBase):
        rank = 5

    try:
        assert kvstore.create("testonlystore").rank == 5
        with pytest.raises(NotImplementedError):
            kvstore.create("testonlystore").pushpull(0, torch.ones(1))
    finally:
        del KVStoreBase.kv_registry["testonlystore"]


class SummingOptimizer:
    """An optimizer whose state is how often each key was updated."""

    def make_updater(self):
        return self

    def __init__(self):
        self.counts = {}

    def __call__(self, key, grad, weight):
        self.counts[key] = self.counts.get(key, 0) + 1

    def get_states(self, dump_optimizer):
        return repr(self.counts).encode()

    def set_states(self, states):
        self.counts = {0: int(states.decode().rstrip("}").split(":")[1])}


def test_optimizer_states_are_saved_and_loaded(store, tmp_path):
    store.init(0, torch.zeros(1))
    store.set_optimizer(SummingOptimizer())
    store.push(0, torch.ones(1))
    store.push(0, torch.ones(1))
    store.save_optimizer_states(tmp_path / "states")
    again = kvstore.create("local")
    optimizer = SummingOptimizer()
    again.set_optimizer(optimizer)
    again.load_optimizer_states(tmp_path / "states")
    assert optimizer.counts == {0: 2}
    assert [path.name for path in tmp_path.iterdir()] == ["states"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=8), st.integers(0, 1000))
def test_any_push_sums_what_was_given_per_key(groups, seed):
    generator = torch.Generator().manual_seed(seed)
    store = kvstore.create("device")
    keys = [key for key, _ in groups]
    values = [[torch.randint(-9, 9, (3,), generator=generator).float() for _ in range(count)] for _, count in groups]
    store.init(sorted(set(keys)), [torch.zeros(3) for _ in set(keys)])
    store.push(keys, values)
    for key in set(keys):
        expected = sum(array for name, group in zip(keys, values, strict=True) if name == key for array in group)
        assert torch.equal(pulled(store, key, (3,)), expected)
