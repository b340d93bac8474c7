"""Sums over workers that read each other's memory: the bits of those through shared memory, and what is in the way."""
import os
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.kvstore import DeadWorkerError, KVStoreError, collective_pulled, peer_memory
from mxdl.kvstore.bucket import Piece
from mxdl.kvstore.collective_pulled import CHUNK_BYTES, LINE_BYTES, PulledSums, _layout
from tests.kvstore.synchronous import run

if not peer_memory.is_there():
    pytest.skip("this system has no process_vm_readv", allow_module_level=True)

# parts that end amid arrays; more stretches in a chunk than the kernel takes at once (8 in these tests)
SIZES = {"large": [700_001, 3, 0, 250_000], "many": [17] * 600, "one": [1_500_000]}


def drawn(sizes, rank, step, dtype):
    generator = torch.Generator().manual_seed(100 * step + rank)
    if dtype.is_floating_point:
        return [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    return [torch.randint(-1000, 1000, (size,), generator=generator, dtype=dtype) for size in sizes]


def summed(hosts, sizes, dtypes, devices=1):
    """Sums in place and into other arrays of three steps, of every worker."""
    keys = list(range(len(sizes)))
    dtypes = [dtypes[key % len(dtypes)] for key in keys]

    def work(store):
        store.init(keys, [torch.zeros(size, dtype=dtype) for size, dtype in zip(sizes, dtypes, strict=True)])
        found = []
        for step in range(3):
            arrays = [[drawn([size], store.rank, step + 7 * key + 31 * device, dtype)[0] for device in range(devices)]
                      for key, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True))]
            if step == 1:
                before = [one.clone() for copies in arrays for one in copies]
                outs = [[torch.zeros_like(one) for one in copies] for copies in arrays]
                store.pushpull(keys, arrays, outs)
                assert all(torch.equal(*pair) for pair in zip(before, (one for copies in arrays for one in copies),
                                                              strict=True))
                arrays = outs
            else:
                store.allreduce(keys, arrays)
            found += [one for copies in arrays for one in copies]
        return store._machine.pulls, found

    return run(hosts, work)


@pytest.mark.parametrize("workers, sizes, dtypes, devices", [
    (2, "large", [torch.float32], 1), (3, "large", [torch.float32, torch.float16, torch.int64], 1),
    (4, "many", [torch.float32], 1), (5, "one", [torch.bfloat16], 1), (2, "large", [torch.float64], 2)])
def test_the_bits_of_sums_through_shared_memory(workers, sizes, dtypes, devices, monkeypatch):
    monkeypatch.setattr(collective_pulled, "LEAST_BYTES", 1 << 12)
    monkeypatch.setattr(collective_pulled, "MOST_STRETCHES", 8)
    pulled = summed(["a"] * workers, SIZES[sizes], dtypes, devices)
    monkeypatch.setenv("MXDL_READ_PEERS", "0")
    shared = summed(["a"] * workers, SIZES[sizes], dtypes, devices)
    assert all(pulls for pulls, _ in pulled) and not any(pulls for pulls, _ in shared)
    count = 0
    for _, arrays in [*pulled, *shared]:
        for one, want in zip(arrays, shared[0][1], strict=True):
            assert torch.equal(one, want)
            count += 1
    assert count == 2 * workers * 3 * len(SIZES[sizes]) * devices


@pytest.mark.parametrize("slow", ["_meet", "_add", "_pull"])
def test_nobody_runs_ahead(slow, monkeypatch):
    """Worker 1 is slow in one part; the others write over their arrays as soon as they have the sum."""
    part = getattr(PulledSums, slow)

    def late(self, *arguments):
        if self._board.rank == 1:
            time.sleep(0.1)
        return part(self, *arguments)

    monkeypatch.setattr(PulledSums, slow, late)

    def work(store):
        store.init("w", torch.zeros(300_000))
        array, found = torch.empty(300_000), []
        for step in range(2):
            array.fill_(store.rank + step)
            store.allreduce("w", array)
            found += array.unique().tolist()
            array.fill_(-1)
        return found

    assert run(["a"] * 3, work) == [[3.0, 6.0]] * 3


@given(lengths=st.lists(st.integers(1, 3 * CHUNK_BYTES), min_size=1, max_size=40), kinds=st.integers(1, 3),
       size=st.integers(2, 8))
@settings(max_examples=60, deadline=None)
def test_every_byte_is_added_by_one_worker(lengths, kinds, size):
    dtypes = tuple([torch.float32, torch.float16, torch.float64][place * kinds // len(lengths)]
                   for place in range(len(lengths)))
    lengths = tuple(8 * length for length in lengths)
    layout = _layout(lengths, dtypes, size)
    added = [[] for _ in lengths]
    for rank, chunks in enumerate(layout.chunks):
        numbers = []
        for chunk in chunks:
            assert chunk.num_bytes <= CHUNK_BYTES
            assert sum(elements for _, _, elements in chunk.places) * chunk.dtype.itemsize == chunk.num_bytes
            for number, (array, start, elements) in enumerate(chunk.places, chunk.first):
                assert dtypes[array] is chunk.dtype
                assert (layout.array[number], layout.offset[number], layout.length[number]) == (
                    array, start * chunk.dtype.itemsize, elements * chunk.dtype.itemsize)
                added[array].append((layout.offset[number], layout.length[number]))
                numbers.append(number)
        assert numbers == layout.parts[rank].tolist()
    for array, length in enumerate(lengths):
        ends = 0
        for offset, num_bytes in sorted(added[array]):
            assert offset == ends
            ends += num_bytes
        assert ends == length
    loads = [sum(chunk.num_bytes for chunk in chunks) for chunks in layout.chunks]
    assert max(loads) - sum(lengths) / size < 3 * LINE_BYTES


def test_who_wants_no_sum_sends_all_through_shared_memory():
    """`reduce`-like pieces have no targets in some workers."""
    def work(store):
        machine, values = store._machine, torch.full((400_000,), store.rank + 1.0)
        out = torch.zeros_like(values)
        pieces = [Piece(length=200_000, sources=[values[start:start + 200_000]],
                        targets=[[out[start:start + 200_000]] if store.rank else []]) for start in (0, 200_000)]
        store.barrier()
        machine.allreduce_pieces(pieces)
        return out.unique().tolist()

    assert run(["a"] * 3, work) == [[0.0], [6.0], [6.0]]


def test_workers_that_cannot_read_each_other_use_shared_memory(monkeypatch):
    read = peer_memory.PeerMemory.read
    calls = []

    def refuse_first(self, *arguments):
        calls.append(self.pid)
        if len(calls) == 1:
            raise PermissionError(1, "not permitted")
        return read(self, *arguments)

    monkeypatch.setattr(peer_memory.PeerMemory, "read", refuse_first)
    found = summed(["a"] * 3, [400_000], [torch.float32])
    assert [pulls for pulls, _ in found] == [False] * 3 and len(calls) == 9
    assert all(torch.equal(arrays[0], found[0][1][0]) for _, arrays in found)


def test_a_process_that_is_not_the_one_meant_is_not_read():
    probe = peer_memory.Probe()
    digits = probe.digits()
    assert peer_memory.opened(digits).pid == os.getpid()
    digits[3] += 1
    assert peer_memory.opened(digits) is None
    digits = probe.digits()
    digits[0] = 1 << 22      # no process has that number
    assert peer_memory.opened(digits) is None


@pytest.mark.parametrize("dead, error", [(False, KVStoreError), (True, DeadWorkerError)])
def test_memory_that_is_gone(dead, error, monkeypatch):
    """Of a worker that is gone, which its lock shows a little later, or of one that lives."""
    class Board:
        size, rank, ranks, block_bytes, began = 2, 0, [3, 5], 1 << 20, time.monotonic()

        def look(self, rank):
            if dead and time.monotonic() - self.began > 0.1:
                raise DeadWorkerError([5], 7, "its process ended")

    monkeypatch.setattr(collective_pulled, "GONE_S", 0.3)
    values, out = torch.ones(1000), torch.zeros(1000)
    sums = PulledSums(Board(), [peer_memory.PeerMemory(os.getpid())] * 2)
    here = peer_memory.stretches([out.data_ptr()], [4000])
    with pytest.raises(error, match="worker 5"):
            sums._read_many(1, peer_memory.stretches([16], [4000]), here)
    sums._read_many(1, peer_memory.stretches([values.data_ptr()], [4000]), here)
    assert torch.equal(out, values)
