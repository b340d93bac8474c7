"""The workers of a synchronous store find each other: who shares a machine, who leads it, where they meet."""
from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from pathlib import Path

import torch

from . import config, peer_memory
from .collective import Machine
from .collective_coded import PAYLOAD_VALUES, Coded
from .collective_exchange import Place
from .collective_gloo import GlooLeaders
from .collective_network import Leaders
from .collective_rows import gathered
from .collective_sockets import SocketLeaders
from .compression import Codec
from .control_client import Control, Group
from .errors import DeadWorkerError, JobFailedError, KVStoreError
from .membership import ALIVE, DEAD
from .rendezvous import SharedStore
from .shared_memory import NETWORK_SPINS, SPINS, Board
from .wire_meeting import Wires

log = logging.getLogger("mxdl.kvstore")


class Meeting:
    """This worker among the others of its job.  `machine` does their sums.

    steps: the last that this worker completed.   is_leaving: this worker ends; nothing waits any more.
    """

    def __init__(self, control: Control, group: Group | None = None):
        self.control = control
        self.steps = -1
        self.is_leaving = False
        self.meet(control.form() if group is None else group)

    def meet(self, group: Group) -> None:
        """Makes `machine` of a group that has formed; every worker of it calls this."""
        control = self.control
        self.group = group
        self._coded = 0
        self._name = f"sync/{self.group.generation}"      # every store forms a generation of its own
        self._store = SharedStore(control, self._name)
        places = self._places()
        place = places[self.group.ranks.index(control.job.rank)]
        self._place, self._ranks = place, [at for at, other in enumerate(places) if other.machine == place.machine]
        machines = 1 + max(other.machine for other in places)
        blocks, block_bytes = config.shared_blocks(), config.SHARED_BLOCK_BYTES
        if machines > 1:        # twice the memory, and fewer meetings a MiB
            several = max(4, blocks // 2)
            blocks, block_bytes = several, 2 * blocks * block_bytes // several
        network = self._network()
        board = self._board("board", blocks, block_bytes)
        leaders = None
        if machines > 1 and place.worker == 0:
            leaders = self._leaders(network, place.machine, machines)
        self.machine = Machine(board, places, place.machine, leaders, network == "sockets")
        if machines == 1 and len(places) > 1:
            self._read_peers()

    def _read_peers(self) -> None:
        """Finds out whether every worker can read every other's memory; sums go that way then."""
        wants = config.read_peers() and peer_memory.is_there()
        if wants:
            peer_memory.allow_siblings()
        probe = peer_memory.Probe()      # shown until everybody has looked
        shown = gathered(self.machine, torch.from_numpy(probe.digits()))
        memories = [peer_memory.opened(digits.numpy()) for digits in shown] if wants else [None]
        opened = [memory for memory in memories if memory is not None]
        can = torch.tensor([len(opened) == len(shown)], dtype=torch.int64)
        if all(one.item() for one in gathered(self.machine, can)):
            self.machine.pull(opened)
        log.info("workers of this machine sum %s", "from each other's memory" if self.machine.pulls else
                 "through shared memory: not every one of them can read every other's memory")

    def _network(self) -> str:
        """Between machines.  Raises KVStoreError where workers chose different ones."""
        network = config.network()
        first = self._store.compare_set("network", "", network).decode()
        if first != network:
            raise KVStoreError(f"MXDL_NETWORK: needs one value for all workers; got {network!r} on "
                               f"{self.control.job.host} and {first!r} elsewhere")
        return network

    def _leaders(self, network: str, place: int, machines: int) -> Leaders:
        """This machine's leader among the others'."""
        control = self.control
        if network == "gloo":
            return GlooLeaders(self._store, place, machines, control.local_address, self.look, self.explain)
        wires = Wires(self._store, self._name, place, machines, control.local_address, control.job.token, self.look,
                      control.job.join_timeout)
        try:
            return SocketLeaders(place, wires.lanes(), self.look, self.explain)
        except OSError as error:
            raise self.explain(error) from error

    def _places(self) -> list[Place]:
        """Of every worker, in the order of ranks; machines are numbered in the order of their first workers."""
        hosts = list(dict.fromkeys(one.host for one in self.group.members))
        counts: defaultdict[str, itertools.count] = defaultdict(itertools.count)
        return [Place(hosts.index(one.host), next(counts[one.host])) for one in self.group.members]

    def _board(self, name: str, blocks: int, block_bytes: int, slots: int | None = None) -> Board:
        """Shared memory of this machine: its first worker makes it, the others open it, then its file's name goes."""
        key, size = f"{name}/{self._place.machine}", len(self._ranks)
        spins = SPINS if size == len(self.group.members) else NETWORK_SPINS
        if self._place.worker == 0:
            board = Board(0, size, blocks, block_bytes, slots=slots, spins=spins)
            self._store.set(key, str(board.path))
        else:
            path = Path(self._store.get(key).decode())
            board = Board(self._place.worker, size, blocks, block_bytes, path, slots, spins)
        try:
            self.control.barrier(f"{self._name}/{name}", strict=True)
        except BaseException:
            board.close()
            raise
        finally:
            if self._place.worker == 0:
                board.forget_name()
        board.ranks, board.check, board.last_step = self._ranks, self.look, lambda: self.steps
        return board

    def coded(self, codec: Codec) -> Coded:
        """Compressed sums; every worker calls it."""
        if self.machine.machines == 1:
            return Coded(self.machine, codec, self.machine.board)
        self._coded += 1
        block_bytes = codec.payload_bytes(PAYLOAD_VALUES)
        payloads = self._board(f"payloads {self._coded}", self.machine.board.blocks, block_bytes,
                               len(self.machine.places))
        return Coded(self.machine, codec, payloads)

    def look(self) -> None:
        """Raises DeadWorkerError when a worker of the group is dead, was replaced or left before the others."""
        if self.is_leaving:
            raise JobFailedError("this worker left before what it pushed was summed")
        self.control.check()
        for one in self.group.members:
            now = self.control.member("worker", one.rank)
            if now is not None and (now.session != one.session or now.state != ALIVE):
                raise self.explain(ConnectionError(f"worker {one.rank} is {now.state}"))

    def explain(self, cause: BaseException) -> BaseException:
        """The error to raise after `cause`: who died, once that is known; not who left because of it."""
        error = self.control.explain(cause, self.group)
        if isinstance(error, DeadWorkerError):
            members = {rank: self.control.member("worker", rank) for rank in error.ranks}
            dead = [rank for rank, one in members.items() if one is not None and one.state == DEAD]
            return DeadWorkerError(dead or error.ranks, error.last_step, error.reason)
        return error

    def part(self, group_only: bool = False) -> None:
        """Waits until all living workers come here, at most the time after which a silent worker is dead.

        group_only: does not wait for newcomers, nor when somebody of the group is gone already.
        """
        if self.control.is_closed:
            return
        try:
            self.control.barrier(f"{self._name}/end", group_only, self.control.job.timeout)
        except (TimeoutError, JobFailedError) as error:
            log.warning("closing a store of worker %d before the others do: %s", self.control.job.rank, error)

    def completed(self, step: int) -> None:
        """Tells the others, with the next sign of life, that this worker completed a step."""
        self.steps = step
        self.control.report_step(step)
