"""What a failed write must not destroy."""
import errno
import warnings

import pytest

from mxdl.files import atomic_folder, atomic_link, atomic_write, kept_measurements


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_write_replaces_the_old_content(tmp_path):
    target = tmp_path / "a.bin"
    for content in (b"one", b"two"):
        with atomic_write(target) as stream:
            stream.write(content)
    assert target.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_error_inside_the_block_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        with atomic_write(target, "w") as stream:
            stream.write("half of the n")
            raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="cannot write .*a.txt: the disk is full; what was there before is untouched"):
        with atomic_write(target, "w") as stream:
            stream.write("new")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError):
        with atomic_folder(tmp_path / "one") as folder:
            (folder / "part").write_text("x")
            raise RuntimeError
    assert not list(tmp_path.iterdir())
    with atomic_folder(tmp_path / "one") as folder:
        (folder / "part").write_text("x")
    assert (tmp_path / "one" / "part").read_text() == "x"


def test_link_moves_in_one_step(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        atomic_link(tmp_path / "last", name)
    assert (tmp_path / "last").resolve() == tmp_path / "second"


@pytest.mark.parametrize("content,reason", [
    (b"", "no JSON"), (b'{"a": 1, "b"', "no JSON"), (b"\xff\xfe\x00", "no JSON"),
    (b"[1, 2]", "its entries"), (b'{"a": 1, "b": "2"}', "its entries")])
def test_a_damaged_file_of_measurements_counts_as_empty_with_a_warning(content, reason, tmp_path):
    cache = tmp_path / "cache.json"
    cache.write_bytes(content)
    with pytest.warns(UserWarning, match=f"cache.json: a damaged file of measurements; {reason}.*made again"):
        assert kept_measurements(cache, lambda entry: isinstance(entry, int)) == {}


def test_measurements_that_are_whole_or_not_there_say_nothing(tmp_path):
    cache = tmp_path / "cache.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept_measurements(cache, lambda entry: entry == 1) == {}
        cache.write_text('{"a": 1}')
        assert kept_measurements(cache, lambda entry: entry == 1) == {"a": 1}
