"""The asynchronous store: exact sums, split keys, rows, states, optimizers by name, errors, staleness."""
import gc
import json
import threading
import time

import pytest
import torch

import mxdl as mx
from mxdl.kvstore import compression
from mxdl.kvstore.errors import ControlLostError, KVStoreError
from mxdl.kvstore.frames import Kind
from tests.kvstore.jobs import running, together

SHAPES = {3: (2, 3), 5: (1211, 1211), 7: (1200, 1200), 9: (), 11: (1, 1_200_000)}


def pulled(store, key, shape, dtype=torch.float32):
    out = torch.full(shape, -1.0, dtype=dtype)
    store.pull(key, out)
    return out


@pytest.mark.parametrize("num_servers", [0, 1, 3])
@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_golden_formula(num_workers, num_servers, dtype):
    """All workers' pushes arrive, whatever their order: MXNet's nightly formula, difference 0."""
    rate, pushes = 2, 3
    with running(num_workers, num_servers) as job:
        stores = [job.worker(rank) for rank in range(num_workers)]

        def work(store):
            store.init(list(SHAPES), [torch.ones(shape, dtype=dtype) for shape in SHAPES.values()])
            store.set_optimizer(mx.optimizer.create("test", rescale_grad=rate))
            for _ in range(pushes):
                share = [[torch.full(shape, (store.rank + 1.0) / 2, dtype=dtype)] * 2 for shape in SHAPES.values()]
                store.push(list(SHAPES), share)     # two devices
            store.barrier()
            return [pulled(store, key, shape, dtype) for key, shape in SHAPES.items()]
        results = together(*[lambda store=store: work(store) for store in stores])
        expected = (num_workers + 1) * num_workers * rate / 2 * pushes + 1
        for values in results:
            assert all(torch.equal(value, torch.full_like(value, expected)) for value in values)


def test_rows_are_pushed_and_pulled_across_servers():
    rows, width = 1000, 8
    with running(2, 3) as job:
        stores = [job.worker(0), job.worker(1)]
        for store in stores:
            store._bound = 100      # split it

        def work(store):
            store.init("e", torch.zeros(rows, width))
            store.set_optimizer(mx.optimizer.create("test"))
            ids = torch.tensor([999, 0, 5, 5, 400])
            grad = torch.sparse_coo_tensor(ids[None], torch.ones(5, width) * (store.rank + 1), (rows, width),
                                           check_invariants=True)
            store.push("e", [grad, grad])
            store.barrier()
            dense = torch.empty(rows, width)
            store.row_sparse_pull("e", dense, row_ids=torch.tensor([999, 5, 7]))
            out = torch.sparse_coo_tensor(size=(rows, width), check_invariants=True)
            store.row_sparse_pull("e", out, row_ids=torch.tensor([400, 0, 400]))
            return dense, out, pulled(store, "e", (rows, width))
        for dense, out, whole in together(*[lambda store=store: work(store) for store in stores]):
            assert dense[[999, 5, 7]].mean(1).tolist() == [6, 12, 0] and dense.sum() == 18 * width
            assert out.coalesce().indices().tolist() == [[0, 400]] and out.to_dense()[[0, 400]].mean() == 6
            assert whole.sum() == (6 * 3 + 12) * width


def test_a_lazy_update_leaves_other_rows_and_their_momentum_alone():
    optimizer = mx.optimizer.create("sgd", learning_rate=0.1, momentum=0.9)
    with running(1, 1) as job:
        store = job.worker(0)
        store.init("e", torch.zeros(6, 2))
        store.set_optimizer(optimizer)
        for ids in ([1, 2], [2, 3]):
            store.push("e", torch.sparse_coo_tensor(torch.tensor([ids]), torch.ones(2, 2), (6, 2)))
        assert torch.allclose(pulled(store, "e", (6, 2))[:, 0], torch.tensor([0, -0.1, -0.29, -0.1, 0, 0]))


@pytest.mark.parametrize("name, options", [("sgd", dict(momentum=0.9, wd=0.01)), ("adam", {}), ("signum", {}),
                                           ("lamb", {}), ("ftrl", {}), ("nag", dict(momentum=0.5))])
def test_the_servers_optimizer_is_the_workers(name, options):
    make = lambda: mx.optimizer.create(name, learning_rate=0.05, rescale_grad=0.5, **options)  # noqa: E731
    torch.manual_seed(0)
    first, grads = torch.randn(5, 4), [torch.randn(5, 4) for _ in range(4)]
    local = mx.kv.create("local")
    with running(1, 2) as job:
        store = job.worker(0)
        for one in (local, store):
            one.init("w", mx.nd.array(first.numpy()))
            one.set_optimizer(make())
            for grad in grads:
                one.push("w", mx.nd.array(grad.numpy()))
        ours, theirs = mx.nd.zeros((5, 4)), mx.nd.zeros((5, 4))
        store.pull("w", ours)
        local.pull("w", theirs)
        assert (ours.asnumpy() == theirs.asnumpy()).all()


def test_a_schedule_and_multipliers_travel():
    schedule = mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=0.4)
    optimizer = mx.optimizer.create("sgd", learning_rate=0.4, lr_scheduler=schedule, param_idx2name={0: "a", 1: "b"})
    optimizer.set_lr_mult({"b": 10})
    with running(1, 1) as job:
        store = job.worker(0)
        store.init([0, 1], [torch.zeros(1), torch.zeros(1)])
        store.set_optimizer(optimizer)
        for _ in range(3):
            store.push([0, 1], [torch.ones(1), torch.ones(1)])
        assert torch.allclose(pulled(store, 0, (1,)), torch.tensor([-1.0]))
        assert torch.allclose(pulled(store, 1, (1,)), torch.tensor([-10.0]))


def test_a_learning_rate_that_changes_is_followed_and_states_stay():
    optimizer = mx.optimizer.create("sgd", learning_rate=1.0, momentum=1.0)
    with running(1, 2) as job:
        store = job.worker(0)
        store.init([0, 1], [torch.zeros(1), torch.zeros(1)])
        store.set_optimizer(optimizer)
        store.push([0, 1], [torch.ones(1)] * 2)
        optimizer.set_learning_rate(10.0)
        store.push([0, 1], [torch.ones(1)] * 2)
        assert pulled(store, 0, (1,)).item() == pulled(store, 1, (1,)).item() == -1 - 11


def test_states_go_to_a_file_and_back(tmp_path):
    file = tmp_path / "states"

    def train(store, pushes):
        for _ in range(pushes):
            store.push("w", torch.ones(3))

    with running(1, 2) as job:
        store = job.worker(0)
        store.init("w", torch.zeros(3))
        with pytest.raises(KVStoreError, match="set_optimizer"):
            store.save_optimizer_states(file)
        store.set_optimizer(mx.optimizer.create("adam"))
        train(store, 3)
        store.save_optimizer_states(file)
        before = pulled(store, "w", (3,))
        train(store, 2)
        after = pulled(store, "w", (3,))
        store.overwrite("w", before)
        store.load_optimizer_states(file)
        train(store, 2)
        assert torch.equal(pulled(store, "w", (3,)), after)
        (tmp_path / "half").write_bytes(file.read_bytes()[:-3])
        for bad in ("half", __file__):
            with pytest.raises(KVStoreError, match="load_optimizer_states"):
                store.load_optimizer_states(tmp_path / bad)
    with running(1, 1) as job:
        store = job.worker(0)
        with pytest.raises(KVStoreError, match="2 servers; this job has 1"):
            store.load_optimizer_states(file)


def test_wrong_calls_say_what_is_wrong_and_the_connection_goes_on():
    with running(1, 1) as job:
        store = job.worker(0)
        store.init(3, torch.zeros(2))
        with pytest.raises(KVStoreError, match="call set_optimizer first"):
            store.push(3, torch.ones(2))
        with pytest.raises(KVStoreError, match="call init first"):
            store.pull(4, torch.ones(2))
        with pytest.raises(KVStoreError, match=r"shape \(2,\); got \(3,\)"):
            store.push(3, torch.ones(3))
        with pytest.raises(KVStoreError, match="cannot travel"):
            store.set_updater(print)
        with pytest.raises(KVStoreError, match="type is one of"):
            store.set_gradient_compression({"type": "3bit"})
        with pytest.raises(KVStoreError, match="describe"):
            store.set_optimizer(object())
        with pytest.raises(KVStoreError, match="cannot make 'nonsense'"):
            store._links[0].ask(Kind.OPTIMIZER, ["nonsense", {}])
        assert pulled(store, 3, (2,)).tolist() == [0, 0]


def test_a_worker_may_not_run_ahead_of_the_slowest_by_more_than_max_delay():
    with running(2, 1, max_delay=2) as job:
        fast, slow = job.worker(0), job.worker(1)
        together(lambda: fast.init(0, torch.zeros(1)), lambda: slow.init(0, torch.zeros(1)))
        together(*[lambda one=one: one.set_optimizer(mx.optimizer.create("test")) for one in (fast, slow)])
        together(lambda: fast.push(0, torch.ones(1)), lambda: slow.push(0, torch.ones(1)))
        done = []

        def run():
            for number in range(4):
                fast.push(0, torch.ones(1))
                done.append(number)
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.5)
        assert len(done) == 2
        slow.push(0, torch.ones(1))
        time.sleep(0.5)
        assert len(done) == 3
        slow.close()            # who left is not waited for
        thread.join(10)
        assert len(done) == 4 and pulled(fast, 0, (1,)).item() == 7
        assert fast.server_figures()[0]["straggler_s"] > 0.5


def test_bytes_are_counted():
    with running(1, 2) as job:
        store = job.worker(0)
        shapes = {key: (1000, 10) for key in range(10)}
        store.init(list(shapes), [torch.zeros(shape) for shape in shapes.values()])
        store.set_optimizer(mx.optimizer.create("test"))
        before = store.traffic()
        store.pushpull(list(shapes), [torch.ones(shape) for shape in shapes.values()])
        after = store.traffic()
        model_bytes = 10 * 1000 * 10 * 4
        for way in ("sent_bytes", "received_bytes"):
            assert 1 <= (after[way] - before[way]) / model_bytes < 1.02
        assert after["keys"][0] == (2 * 40_000, 40_000) and after["network_s"] > 0
        figures = store.server_figures()
        assert sum(one["PUSH.bytes_in"] for one in figures) == model_bytes
        assert sum(one["PULL.bytes_out"] for one in figures) == model_bytes


def test_a_trainer_trains_through_it():
    def train(kvstore, **options):
        net = mx.gluon.nn.Dense(1, in_units=2)
        net.initialize(mx.init.Zero())
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.5},
                                   kvstore=kvstore, **options)
        for _ in range(5):
            with mx.autograd.record():
                loss = (net(mx.nd.array([[1, 2], [3, 4]])) - 1) ** 2
            loss.backward()
            trainer.step(2)
        return net.weight.data().asnumpy()
    with running(1, 0) as job:
        ours = train(job.worker(0))
    assert abs(ours - train(None)).max() < 1e-7


def test_servers_note_requests_when_told_to(tmp_path):
    with running(1, 2) as job:
        store = job.worker(0)
        store.init([0, 1], [torch.zeros(4), torch.zeros(4)])
        store.set_server_profiler("run")
        out = torch.zeros(4)
        store.pull(0, out)
        store.pull(1, out)
        store.set_server_profiler("stop")
        store.pull(1, out)
        assert store.dump_server_profile(tmp_path / "trace.json") == 0
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        assert [(one["name"], one["pid"]) for one in events if one["ph"] == "X"] == [("PULL", 0), ("PULL", 1)]
        assert all(one["dur"] >= 0 for one in events if one["ph"] == "X")
        with pytest.raises(KVStoreError, match="run, stop, pause, resume, dump"):
            store.set_server_profiler("rest")
        with pytest.raises(KVStoreError, match="no commands of your own"):
            store._send_command_to_servers(0, "x")


def test_the_profiler_reaches_the_servers(tmp_path):
    with running(1, 1) as job:
        store = job.worker(0)
        store.init([0], [torch.zeros(4)])
        out = torch.zeros(4)
        mx.profiler.set_config(profile_process="server", filename=str(tmp_path / "servers.json"))
        mx.profiler.set_kvstore_handle(store)
        mx.profiler.set_state("run", profile_process="server")
        store.pull(0, out)
        mx.profiler.pause("server")
        store.pull(0, out)
        mx.profiler.resume("server")
        store.pull(0, out)
        mx.profiler.set_state("stop", profile_process="server")
        mx.profiler.dump(profile_process="server")
        events = json.loads((tmp_path / "servers.json").read_text())["traceEvents"]
        assert [one["name"] for one in events if one["ph"] == "X"] == ["PULL", "PULL"]
        mx.profiler.set_state("run")
        store.pull(0, out)
        mx.profiler.set_state("stop")
        mine = [one for one in mx.profiler.recorder.events if one["cat"] == "kvstore"]
        mx.profiler.recorder.clear()
        assert [(one["name"], one["args"]) for one in mine] == [("pull at server 0", {"bytes": 16})]
    del store, job
    gc.collect()
    with pytest.raises(mx.MXNetError, match="no store was created whose servers"):
        mx.profiler.set_state("run", profile_process="server")


@pytest.mark.parametrize("params, bits", [({"type": "2bit", "threshold": 0.5}, 2), ({"type": "1bit"}, 1),
                                          ({"type": "signsgd", "momentum": 0.5, "momentum_at": "server"}, 1),
                                          ({"type": "fp16"}, 16), ({"type": "topk", "ratio": 0.25}, 16)],
                         ids=lambda value: value["type"] if isinstance(value, dict) else str(value))
def test_compressed_pushes_are_what_the_codec_makes_of_them(params, bits, monkeypatch):
    monkeypatch.setenv("MXNET_KVSTORE_BIGARRAY_BOUND", "4000")
    shape, steps = (640, 25), 4         # cut in two halves, one a server
    generator = torch.Generator().manual_seed(1)
    pushes = torch.randn((steps, *shape), generator=generator)
    wanted = torch.zeros(shape)
    for rows in range(0, 640, 320):
        codec, residual, state = compression.create(params), torch.zeros(320 * 25), {}
        for step in range(steps):
            result = compression.decoded(codec, pushes[step, rows:rows + 320].reshape(-1), residual)
            codec.finish(result)
            codec.settle(result, state)
            wanted[rows:rows + 320] += result.view(320, 25)
    with running(1, 2) as job:
        store = job.worker(0)
        store.init("w", torch.zeros(shape))
        store.set_optimizer(mx.optimizer.create("test"))
        store.set_gradient_compression(params)
        before = store.traffic()["sent_bytes"]
        for step in range(steps):
            store.push("w", pushes[step])
        sent = store.traffic()["sent_bytes"] - before
        torch.testing.assert_close(pulled(store, "w", shape), wanted, rtol=0, atol=0)
        assert sent <= steps * (640 * 25 * bits // 8 + 2 * 100)     # and two heads of frames a push
        with pytest.raises(KVStoreError, match="takes float32 gradients"):
            store.push("w", pushes[0].double())


def test_a_server_ends_well_when_its_workers_left_and_the_control_server_after_them():
    with running(2, 2) as job:
        early, late = job.servers
        stores = [job.worker(rank) for rank in range(2)]
        for store in stores:
            store._control.close()
        began = time.monotonic()
        early.wait()
        assert time.monotonic() - began < 10          # nobody takes the place of workers that left: no patience
        job.control.close()
        late.wait()


def test_a_server_that_loses_the_control_server_before_its_workers_end_raises():
    with running(1, 1) as job:
        job.worker(0)
        job.control.close()
        with pytest.raises(ControlLostError):
            job.servers[0].wait()
