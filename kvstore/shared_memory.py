"""Memory that the workers of one machine share: counters to wait on, logs of what each is ready for, blocks of data.

Nothing here locks.  Every counter has one writer and only grows; a reader waits until it is large enough.  What a
counter announces was written before it (`Board.tell` fences), so a reader that sees the counter sees the data.
"""
from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .errors import DeadWorkerError, JobFailedError, KVStoreError
from .futex import Futex

LINE = 64                    # bytes of a cache line: counters of two writers never share one
COUNTERS = 8
# BELL, GATHERED: worker 0's, which anybody sets: the first when it logs, the second when it comes last to a meeting
POSTED, REDUCED, ARRIVED, DONE, LOGGED, STOPPED, BELL, GATHERED = range(COUNTERS)
LOG_ENTRIES = 4096
RESULT = -1                  # instead of a worker's place: where sums are
ENTRY_BYTES = 24
SPINS = 100                  # looks at a counter before a waiting worker begins to sleep
NETWORK_SPINS = 8            # the same where it waits for other machines too, which takes longer anyway
LOOK_S = 0.05                # how often a waiting worker looks whether the others live
FLOCK = "hhqqi"              # struct flock: type, whence, start, len, pid


def directory() -> Path:
    """Where shared memory is a file: the memory file system, else the temporary folder."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else Path(tempfile.gettempdir())


class Board:
    """A file that `size` workers of a machine map; it loses its name when all have it, so none is left behind.

    rank: this worker's place on the machine, 0 to size - 1.   blocks: how many blocks each worker has, reused in turn.
    block_bytes: of one block.   slots: how many publish (default: `size`).   spins: looks at a counter before sleeping.
    check: called now and then while waiting; raises when a worker elsewhere is dead.
    """

    def __init__(self, rank: int, size: int, blocks: int, block_bytes: int, path: Path | None = None,
                 slots: int | None = None, spins: int = SPINS):
        self.rank, self.size, self.blocks, self.block_bytes = rank, size, blocks, block_bytes
        self.check: Callable[[], None] = lambda: None
        self.ranks = list(range(size))                   # global ranks by place, for messages
        self.last_step: Callable[[], int] = lambda: -1
        self._slots, self._spins = size if slots is None else slots, spins
        header = COUNTERS * size * LINE
        self._log_start = header
        self._data_start = -(-(header + size * LOG_ENTRIES * ENTRY_BYTES) // 4096) * 4096
        total = self._data_start + (self._slots + 1) * blocks * block_bytes
        self.path = path or directory() / f"mxdl-{secrets.token_hex(16)}"
        self._file = _create(self.path, total) if path is None else os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        self._map = mmap.mmap(self._file, total)
        self._numbers = memoryview(self._map)[:header].cast("q")
        self._bytes = torch.frombuffer(self._map, dtype=torch.uint8)
        self._views: dict[tuple[int, int, torch.dtype], Tensor] = {}
        self._futex = Futex(self._map)
        self._fences = threading.Lock(), threading.Lock()
        _lock(self._file, fcntl.F_WRLCK, rank)

    # -- data -------------------------------------------------------------------------------------------------
    def slot(self, rank: int, block: int) -> Tensor:
        """What worker `rank` publishes as block number `block`.  out: uint8[block_bytes]"""
        start = self._data_start + (rank * self.blocks + block % self.blocks) * self.block_bytes
        return self._bytes[start:start + self.block_bytes]

    def result(self, block: int, count: int = 1) -> Tensor:
        """The sums of `count` blocks that do not pass the memory's end.  out: uint8[count * block_bytes]"""
        start = self._result_start(block)
        return self._bytes[start:start + count * self.block_bytes]

    def values(self, rank: int, block: int, dtype: torch.dtype, length: int) -> Tensor:
        """The first elements of a slot (rank `RESULT`: of the result).  out: T[length]"""
        key = rank, block % self.blocks, dtype
        if key not in self._views:
            self._views[key] = (self.result(block) if rank == RESULT else self.slot(rank, block)).view(dtype)
        whole = self._views[key]
        return whole if length == whole.numel() else whole[:length]

    def write_numbers(self, block: int, numbers: list[int]) -> None:
        """Puts int64 numbers at the beginning of a block's result."""
        struct.pack_into(f"{len(numbers)}q", self._map, self._result_start(block), *numbers)

    def read_numbers(self, block: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{count}q", self._map, self._result_start(block))

    def _result_start(self, block: int) -> int:
        return self._data_start + (self._slots * self.blocks + block % self.blocks) * self.block_bytes

    # -- logs -------------------------------------------------------------------------------------------------
    def log(self, number: int, entries: list[tuple[int, int, int]]) -> None:
        """Writes entries (name, form, mark) from `number` on into this worker's log, all seen at once; the leader must
        be less than LOG_ENTRIES behind.
        """
        for count, entry in enumerate(entries, number):
            at = self._log_start + (self.rank * LOG_ENTRIES + count % LOG_ENTRIES) * ENTRY_BYTES
            struct.pack_into("qqq", self._map, at, *entry)
        count = number + len(entries)
        self.come(LOGGED, count)
        bell = BELL * self.size * (LINE // 8)
        self._numbers[bell] = count * self.size + self.rank      # whoever wins, it is no number that was there
        self._futex.wake(bell)

    def entry(self, rank: int, number: int) -> tuple[int, int, int]:
        at = self._log_start + (rank * LOG_ENTRIES + number % LOG_ENTRIES) * ENTRY_BYTES
        return struct.unpack_from("qqq", self._map, at)

    # -- counters ---------------------------------------------------------------------------------------------
    def told(self, counter: int, rank: int) -> int:
        return self._numbers[(counter * self.size + rank) * (LINE // 8)]

    def tell(self, counter: int, value: int) -> None:
        """Sets this worker's counter, after everything that it wrote before."""
        self._fence()
        at = (counter * self.size + self.rank) * (LINE // 8)
        self._numbers[at] = value
        self._futex.wake(at)

    def _fence(self) -> None:
        """Two lock rounds keep what was before them from passing what comes after, on any machine."""
        for lock in self._fences:
            with lock:
                pass

    def come(self, counter: int, value: int) -> None:
        """As `tell`, for a counter that is waited for by `gather` only: the last to come wakes the others, once."""
        self._fence()
        self._numbers[(counter * self.size + self.rank) * (LINE // 8)] = value
        self._fence()      # of two who come at once, one sees the other
        if self._have_come(counter, value):
            bell = GATHERED * self.size * (LINE // 8)
            self._numbers[bell] = value * COUNTERS + counter      # no number that was there
            self._futex.wake(bell)

    def _have_come(self, counter: int, value: int) -> bool:
        numbers, first, step = self._numbers, counter * self.size * (LINE // 8), LINE // 8
        return all(numbers[at] >= value for at in range(first, first + self.size * step, step))

    def gather(self, counter: int, value: int) -> None:
        """Returns when every worker's counter, which it sets by `come`, is at least `value`.  Raises as `wait`."""
        for _ in range(self._spins):
            if self._have_come(counter, value):
                return
        bell = GATHERED * self.size * (LINE // 8)
        next_look = time.monotonic() + LOOK_S
        while True:
            seen = self._numbers[bell]
            if self._have_come(counter, value):
                return
            self._futex.wait(bell, seen, LOOK_S)
            if time.monotonic() > next_look:
                for rank in range(self.size):
                    if self.told(counter, rank) < value:
                        self.look(rank)
                next_look = time.monotonic() + LOOK_S

    def wait_for_bell(self, heard: int) -> None:
        """On worker 0: returns when somebody logged something after the bell was at `heard`, or after LOOK_S."""
        self._futex.wait(BELL * self.size * (LINE // 8), heard, LOOK_S)

    def wait(self, counter: int, value: int, rank: int) -> None:
        """Returns when worker `rank`'s counter is at least `value`.

        Raises DeadWorkerError when that worker is gone, or what `check` raises.
        """
        numbers, at = self._numbers, (counter * self.size + rank) * (LINE // 8)
        for look in range(self._spins):
            if numbers[at] >= value:
                return
            if look % 8 == 7:
                time.sleep(0)      # this process's other threads; sched_yield would wait for all other processes
        next_look = time.monotonic() + LOOK_S
        while (seen := numbers[at]) < value:
            self._futex.wait(at, seen, LOOK_S)
            if time.monotonic() > next_look:
                self.look(rank)
                next_look = time.monotonic() + LOOK_S

    def wait_all(self, counter: int, value: int) -> None:
        for rank in range(self.size):
            if rank != self.rank:
                self.wait(counter, value, rank)

    # -- the others -------------------------------------------------------------------------------------------
    def look(self, rank: int) -> None:
        """Raises DeadWorkerError when worker `rank`, for which this one waits, is gone; what `check` raises; or
        JobFailedError when a worker stopped with an error.
        """
        for other in range(self.size):      # first: who stopped knows why, and may have ended since
            if stopped := self.told(STOPPED, other):
                raise self._stopped(other, stopped)
        if rank != self.rank and not _is_held(self._file, rank):
            raise DeadWorkerError([self.ranks[rank]], self.last_step(), "its process ended")
        self.check()

    def _stopped(self, rank: int, code: int) -> JobFailedError:
        """The error for a worker that stopped: by an error of its own (1), or because worker code - 2 is dead."""
        who = f"worker {self.ranks[rank]}"
        if code > 1:
            return DeadWorkerError([code - 2], self.last_step(), f"{who} found out")
        return JobFailedError(f"{who} stopped with an error, which its own output tells; the last complete step is "
                              f"{self.last_step()}; mend that and start the job again")

    def forget_name(self) -> None:
        """Takes the file's name away; those who have it keep the memory until they end."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of the lock that says that this worker lives.  The memory stays mapped as long as it is used."""
        if self._file >= 0:
            _lock(self._file, fcntl.F_UNLCK, self.rank)      # the map holds the file open
            os.close(self._file)
            self._file = -1


def _create(path: Path, num_bytes: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(handle, 0, num_bytes)
    except OSError as error:
        os.close(handle)
        path.unlink()
        raise KVStoreError(f"kvstore: no shared memory of {num_bytes >> 20} MiB in {path.parent} ({error.strerror}); "
                           "make it larger (docker: --shm-size), or set MXDL_SHARED_MIB to less") from error
    return handle


def _lock(handle: int, kind: int, rank: int) -> None:
    """Locks or unlocks byte `rank`: the kernel lets go of it when the process ends, however it ends."""
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, rank, 1, 0))


def _is_held(handle: int, rank: int) -> bool:
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, rank, 1, 0)
    return struct.unpack(FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK
