"""Leaders over sockets: sums with the same bits everywhere, in the order of machines; who may connect; who is gone."""
import socket
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mxdl.kvstore import collective_sockets
from mxdl.kvstore.collective_sockets import SocketLeaders, stretches
from mxdl.kvstore.errors import DeadWorkerError, KVStoreError
from mxdl.kvstore.wire import Lane
from mxdl.kvstore.wire_meeting import Wires

from .synchronous import run


class Keys(dict):
    """The store where leaders meet, within one process."""

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition()

    def set(self, key, value):
        with self.changed:
            self[key] = value.encode()
            self.changed.notify_all()

    def get(self, key):
        with self.changed:
            self.changed.wait_for(lambda: key in self, 20)
            return self[key]


def look():
    """All live."""


def meet(machines, keys=None, token="secret"):
    keys = Keys() if keys is None else keys

    def leader(place):
        lanes = Wires(keys, "group", place, machines, "127.0.0.1", token, look, 20).lanes()
        return SocketLeaders(place, lanes, look, lambda error: error)

    with ThreadPoolExecutor(machines) as pool:
        return list(pool.map(leader, range(machines)))


def together(leaders, work):
    with ThreadPoolExecutor(len(leaders)) as pool:
        return list(pool.map(work, leaders))


def in_order(parts):
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


@pytest.mark.parametrize("machines", [2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_sums_have_the_bits_of_adding_in_the_order_of_machines(machines, dtype):
    leaders = meet(machines)
    generator = torch.Generator().manual_seed(machines)
    sizes = [1, 3, 70_001, 400_000]
    values = [[(1e3 * torch.randn(size, generator=generator)).to(dtype) for size in sizes] for _ in leaders]
    wanted = [in_order(each) for each in zip(*values, strict=True)]

    def work(leader):
        mine = [value.clone() for value in values[leader.place]]
        for _ in range(3):
            for array, value in zip(mine, values[leader.place], strict=True):
                array.copy_(value)
            leader.finish([one for array in mine for one in leader.start_allreduce(array)])
        return mine

    for found in together(leaders, work):
        assert all(torch.equal(one, want) for one, want in zip(found, wanted, strict=True))
    for leader in leaders:
        leader.close()


def test_one_machine_can_add_a_list_of_more_arrays_than_a_system_call_takes():
    leaders = meet(2)
    arrays = [[torch.full((7,), float(number + 1 + place)) for number in range(1500)] for place in range(2)]
    together(leaders, lambda leader: leader.finish(leader.start_sum([[], arrays[leader.place]])))
    for place in range(2):
        assert all((one == 2 * number + 3).all() for number, one in enumerate(arrays[place]))


def test_places_of_sums_depend_on_the_calls_alone(monkeypatch):
    """One leader is slow at times, and waits for old sums while the other has them long since."""
    monkeypatch.setattr(collective_sockets, "AHEAD_BYTES", 100_000)
    leaders = meet(2)
    sizes = [(number * 7919) % 30_000 + 1 for number in range(60)]

    def work(leader):
        under_way, arrays = deque(), [torch.full((size,), float(leader.place + size)) for size in sizes]
        for number, array in enumerate(arrays):
            if leader.place == number // 10 % 2:
                time.sleep(0.002)
            under_way.append(leader.start_sum([[], [array]] if number % 3 else [[array], []]))
            if len(under_way) == 7:
                leader.finish(under_way.popleft())
        leader.no_more()
        for works in under_way:
            leader.finish(works)
        return all((array == 2 * size + 1).all() for array, size in zip(arrays, sizes, strict=True))

    assert together(leaders, work) == [True, True]


def test_stretches_cover_every_element_once():
    arrays = list(torch.arange(23.).split([4, 0, 11, 1, 7]))
    for count in (1, 2, 3, 5, 23, 30):
        found = stretches(arrays, 23, count)
        assert len(found) == count
        lengths = [sum(one.numel() for one in stretch) for stretch in found]
        assert max(lengths) == -(-23 // count) and sorted(lengths, reverse=True) == lengths
        assert torch.cat([one for stretch in found for one in stretch]).tolist() == list(range(23))


def test_everybodys_numbers_and_broadcasts():
    leaders = meet(3)

    def work(leader):
        values = torch.full((100_000,), leader.place)
        gathered = leader.gather(torch.tensor([[leader.place, 7]]))
        leader.finish(leader.start_broadcast(values, 2))
        incoming, works = leader.start_gathering(torch.tensor([leader.place]), 1)
        leader.finish(works)
        return [one.tolist() for one in gathered], values.unique().tolist(), incoming.tolist()

    for place, found in enumerate(together(leaders, work)):
        assert found == ([[[0, 7]], [[1, 7]], [[2, 7]]], [2], [[0], [2]] if place == 1 else [])


def test_leaders_that_disagree_on_what_comes_get_an_error():
    leaders = meet(2)

    def work(leader):
        with pytest.raises((KVStoreError, ConnectionError)) as error:
            leader.gather(torch.zeros(5 + leader.place, dtype=torch.int64))
        return str(error.value)
    first, second = together(leaders, work)
    known = [number for number, error in enumerate((first, second)) if "call the store alike in every worker" in error]
    assert known, (first, second)
    if 0 in known:
        assert first.startswith("the leader of machine 1 sent message 0 of 48 bytes; expected was 0 of 40:")
    if 1 in known:
        assert second.startswith("the leader of machine 0 sent message 0 of 40 bytes; expected was 0 of 48:")


def test_a_leader_that_closed_is_an_error_within_the_wait():
    first, second = meet(2)
    second.close()
    with pytest.raises(ConnectionError, match="the leader of machine 1 closed its connection"):
        first.gather(torch.zeros(1))


def test_a_silent_leader_is_looked_after():
    def nobody_answers():
        raise DeadWorkerError([1], 4, "silent")

    ends = socket.socketpair()
    leader = SocketLeaders(0, [None, Lane(ends[0], "the other")], nobody_answers, lambda error: error)
    with pytest.raises(DeadWorkerError):
        leader.gather(torch.zeros(1))


def test_strangers_neither_join_nor_disturb(caplog):
    keys = Keys()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Wires(keys, "group", 0, 2, "127.0.0.1", "secret", look, 20).lanes)
        host, _, port = keys.get("leader/0").decode().rpartition(":")
        silent = socket.create_connection((host, int(port)))
        loud = socket.create_connection((host, int(port)))
        loud.sendall(b"GET / HTTP/1.1\r\n\r\n" * 40)
        for token, group in (("wrong", "group"), ("secret", "another group")):
            with pytest.raises(Exception, match="token|waits for the others"):
                Wires(keys, group, 1, 2, "127.0.0.1", token, look, 20).lanes()
        second = Wires(keys, "group", 1, 2, "127.0.0.1", "secret", look, 20).lanes()
        found = first.result(20)
    leaders = [SocketLeaders(0, found, look, lambda error: error), SocketLeaders(1, second, look, lambda error: error)]
    assert [[len(one) for one in both] for both in together(leaders, lambda leader: leader.gather(torch.ones(2)))] \
        == [[2, 2], [2, 2]]
    assert "closed the connection of" in caplog.text
    silent.close()
    loud.close()


def work_of(store):
    store.init([0, 1], [torch.zeros(3), torch.zeros(700_000)])
    grads = [torch.full((3,), store.rank + 1.0), torch.full((700_000,), store.rank + 1.0)]
    store.allreduce([0, 1], grads)
    return type(store._machine.leaders).__name__, [grad.unique().tolist() for grad in grads]


@pytest.mark.parametrize("network, leaders", [("", "SocketLeaders"), ("gloo", "GlooLeaders")])
def test_the_network_is_chosen(monkeypatch, network, leaders):
    monkeypatch.setenv("MXDL_NETWORK", network)
    assert run(["a", "b"], work_of) == [(leaders, [[3.0], [3.0]])] * 2


def test_an_unknown_network_is_an_error(monkeypatch):
    monkeypatch.setenv("MXDL_NETWORK", "pigeons")
    with pytest.raises(ValueError, match="MXDL_NETWORK: needs sockets or gloo; got 'pigeons'"):
        run(["a", "b"], work_of)
