"""One connection of the control channel on an event loop: frames in, frames out, each read within its bounds."""
from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

from .errors import JobError
from .frames import HEADER, Bounds, Frame, Kind, pack, unpack_fields, unpack_header
from .job import Job


class Channel:
    """Frames over a pair of asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    @property
    def peer(self) -> str:
        """host:port of the other end."""
        found = self._writer.get_extra_info("peername")
        return f"{found[0]}:{found[1]}" if found else "a peer that is gone"

    @property
    def local_address(self) -> str:
        """This end's address: one by which the other end can reach this machine."""
        return self._writer.get_extra_info("sockname")[0]

    async def receive(self, bounds: Bounds) -> Frame:
        """The next frame.  Raises FrameError, asyncio.IncompleteReadError at the end, OSError."""
        header = unpack_header(await self._reader.readexactly(HEADER.size), bounds)
        return unpack_fields(header, await self._reader.readexactly(header.head_bytes))

    def send(self, kind: Kind, fields: Iterable[Any] = (), sequence: int = 0, session: int = 0) -> None:
        """Puts a frame into the connection's buffer; a connection that is gone swallows it (its reader tells)."""
        if not self._writer.is_closing():
            self._writer.write(pack(kind, fields, sequence, session))

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the other end has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        """Closes without waiting for the other end to take what was sent."""
        self._writer.transport.abort()


def server_tls(job: Job) -> ssl.SSLContext | None:
    """What the control server shows to its clients, where the job asks for TLS."""
    if not job.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(job.tls_cert, job.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise JobError(f"TLS: cannot read {job.tls_cert} with {job.tls_key}: {error}") from None
    return context


def client_tls(job: Job) -> ssl.SSLContext | None:
    """What a client trusts, where the job asks for TLS; the certificate must name the job's address."""
    if not job.tls_ca:
        return None
    try:
        return ssl.create_default_context(cafile=job.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise JobError(f"TLS: cannot read {job.tls_ca}: {error}") from None
