"""A server's journal: what was appended is there after a kill at any byte, and snapshots keep it short."""
import os

import pytest
import torch

import mxdl as mx
import mxdl.optimizer
from mxdl.kvstore import journal as journals
from mxdl.kvstore.array_bytes import parts
from mxdl.kvstore.errors import FrameError
from mxdl.kvstore.frames import Frame, Kind, encode
from mxdl.kvstore.journal import Journal
from mxdl.kvstore.server_values import ServerValues
from mxdl.kvstore.structure import flatten

LIMIT = 1 << 24


def change(kind, fields, tensors=(), sequence=1):
    """A frame and its payload, as a server receives them."""
    pieces, size = parts(tensors)
    content = bytearray(b"".join(pieces))
    payload = torch.frombuffer(content, dtype=torch.uint8) if size else torch.empty(0, dtype=torch.uint8)
    return Frame(kind, 7, sequence, tuple(map(encode, fields)), size), payload


def changes(num_pushes=5):
    name, settings = mx.optimizer.create("adam", learning_rate=0.1).describe()
    yield change(Kind.INIT, [[["w", "float32", [100]], [3, "float16", [2, 3]]]],
                 [torch.ones(100), torch.ones(2, 3, dtype=torch.float16)])
    yield change(Kind.OPTIMIZER, [name, settings], sequence=2)
    for number in range(num_pushes):
        yield change(Kind.PUSH, [[["w", "float32"], [3, "float16"]]],
                     [torch.full((100,), number - 1.0), torch.ones(2, 3, dtype=torch.float16)], number + 3)


def replayed(folder):
    values = ServerValues(LIMIT)
    journal = Journal(folder)
    count = journal.replay(values.apply)
    journal.close()
    return values, count


def written(folder, num_pushes=5):
    """Values after changes, each appended first; the sizes of the journal after each."""
    values, journal, sizes = ServerValues(LIMIT), Journal(folder), []
    for frame, payload in changes(num_pushes):
        journal.append(frame, payload)
        values.apply(frame, payload)
        sizes.append(os.path.getsize(folder / "00000000.frames"))
    journal.close()
    return values, sizes


def assert_same(one, other):
    assert one.values.keys() == other.values.keys() and one.applied == other.applied
    assert all(torch.equal(one.values[key], other.values[key]) for key in one.values)


def test_a_successor_has_the_same_values_states_and_numbers(tmp_path):
    values, _ = written(tmp_path)
    found, count = replayed(tmp_path)
    assert count == 7 and found.applied == {7: 7}
    assert_same(values, found)
    for one in (values, found):     # the optimizer's states too: the next update is the same
        one.apply(*change(Kind.PUSH, [[["w", "float32"]]], [torch.ones(100)], 20))
    assert_same(values, found)
    assert mxdl.optimizer


def test_cut_anywhere_in_the_last_change_all_before_it_is_there(tmp_path):
    _, sizes = written(tmp_path / "whole")
    content = (tmp_path / "whole/00000000.frames").read_bytes()
    cuts = [*range(sizes[-2] + 1, sizes[-1], 37), sizes[-1] - 1]
    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "00000000.frames").write_bytes(content[:cut])
        found, count = replayed(folder)
        assert count == 6 and found.applied == {7: 6}
        assert os.path.getsize(folder / "00000000.frames") == sizes[-2]
    assert len(cuts) > 10


def test_a_damaged_journal_is_refused_not_guessed_at(tmp_path):
    written(tmp_path)
    file = tmp_path / "00000000.frames"
    file.write_bytes(b"X" + file.read_bytes()[1:])
    with pytest.raises(FrameError, match="damaged at byte 0"):
        replayed(tmp_path)


def test_a_snapshot_takes_the_place_of_what_led_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "LEAST_BYTES", 10_000)
    values, journal = ServerValues(LIMIT), Journal(tmp_path)
    anew = 0
    for frame, payload in changes(100):
        journal.append(frame, payload)
        values.apply(frame, payload)
        if journal.is_long(values.held_bytes):
            journal.begin_anew(values.snapshot())
            anew += 1
    journal.close()
    assert 2 <= anew < 10 and [path.name for path in tmp_path.iterdir()] == [f"{anew:08}.frames"]
    found, count = replayed(tmp_path)
    assert_same(values, found)
    assert count < 40
    for one in (values, found):
        one.apply(*change(Kind.PUSH, [[["w", "float32"]]], [torch.ones(100)], 200))
    assert_same(values, found)


def test_a_change_that_was_applied_is_known(tmp_path):
    values, _ = written(tmp_path)
    assert values.is_done(Frame(Kind.PUSH, 7, 7, ())) and not values.is_done(Frame(Kind.PUSH, 7, 8, ()))
    assert not values.is_done(Frame(Kind.PUSH, 8, 1, ()))


def test_compressed_pushes_and_what_they_leave_behind_survive():
    """In a snapshot are the settings and the momentum of votes."""
    params = {"type": "signsgd", "momentum": 0.9, "momentum_at": "server"}
    values = ServerValues(LIMIT)
    for frame, payload in changes(0):
        values.apply(frame, payload)
    values.apply(*change(Kind.CODING, [params, flatten({})[0]], sequence=3))
    for number, byte in enumerate([0xff, 0xff, 0x0f]):
        values.apply(*change(Kind.CODED_PUSH, [[["w"]]], [torch.full((13,), byte, dtype=torch.uint8)], number + 4))
    found = ServerValues(LIMIT)
    for frame, tensors in values.snapshot():
        pieces, size = parts(tensors)
        content = torch.frombuffer(bytearray(b"".join(pieces)), dtype=torch.uint8) if size else torch.empty(0)
        found.apply(frame._replace(payload_bytes=size), content)
    for one in (values, found):
        one.apply(*change(Kind.CODED_PUSH, [[["w"]]], [torch.zeros(13, dtype=torch.uint8)], 200))
    assert_same(values, found)
    with pytest.raises(FrameError, match="take 16 bytes"):
        values.payload_bytes(change(Kind.CODED_PUSH, [[["w"]]], [torch.zeros(90, dtype=torch.uint8)])[0])
