"""Strangers, damaged frames and old sessions: they lose their connection, with a log line, and disturb nobody."""
import logging
import random
import resource
import socket
import ssl
import struct
import subprocess
import time

import pytest
import torch

import mxdl as mx
import mxdl.optimizer
from mxdl.kvstore import authentication
from mxdl.kvstore.control import ControlServer
from mxdl.kvstore.control_client import Control
from mxdl.kvstore.errors import ControlLostError, FrameError, JobError, JoinRefusedError
from mxdl.kvstore.frames import CONTROL, HEADER, STRANGER, Frame, Kind, pack, take, unpack_fields, unpack_header
from mxdl.kvstore.job import Job
from mxdl.kvstore.server_values import CHANGES, ServerValues
from tests.kvstore.jobs import running

FUZZED = 10_000


def parse(data: bytes, bounds) -> Frame:
    header = unpack_header(data[:HEADER.size].ljust(HEADER.size, b"\0"), bounds)
    return unpack_fields(header, data[HEADER.size:HEADER.size + header.head_bytes])


def mutations(seed: int, originals: list[bytes]):
    """Frames with bits turned, parts cut, lengths replaced, or made of nothing but chance."""
    chance = random.Random(seed)
    for _ in range(FUZZED):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            kind = chance.randrange(5)
            place = chance.randrange(len(data))
            if kind == 0:
                data[place] ^= 1 << chance.randrange(8)
            elif kind == 1:
                data[16:20] = struct.pack("!I", chance.choice([0, 1, 2**31, 2**32 - 1, chance.randrange(4096)]))
            elif kind == 2:
                data[20:28] = struct.pack("!Q", chance.choice([0, 8, 2**63, 2**64 - 1, chance.randrange(4096)]))
            elif kind == 3:
                del data[max(HEADER.size, place):]
            else:
                data[place:place + 4] = chance.randbytes(4)
        yield bytes(data) if chance.random() < 0.95 else chance.randbytes(chance.randrange(200))


def test_fuzzed_frames_are_frames_or_frame_errors():
    originals = [pack(Kind.JOIN, [b"n" * 32, b"p" * 32, {"rank": 1}]), pack(Kind.SET, ["key", b"value"]),
                 pack(Kind.INIT, [[["w", "float32", [2, 3]]]], 1, 1, 24), pack(Kind.HEARTBEAT, [5])]
    good = bad = 0
    for data in mutations(1, originals):
        try:
            take(parse(data, STRANGER), *[dict] * 3)
            good += 1
        except FrameError:
            bad += 1
    assert good + bad == FUZZED and bad > 9000


def test_fuzzed_changes_leave_a_server_whole():
    """Whatever a worker sends: an error or a valid change, no memory over the bound, and the server goes on."""
    values = ServerValues(limit_bytes=1 << 20)
    start = Frame(Kind.INIT, 1, 1, (b'[["w", "float32", [64, 4]], [7, "float16", [3]]]',), 1032)
    values.apply(start, torch.zeros(1032, dtype=torch.uint8))
    assert mxdl.optimizer        # it registers what servers can make
    values.apply(Frame(Kind.OPTIMIZER, 1, 2, (b"sgd", b'{"momentum": 0.5, "num_states": 1}')), torch.zeros(0))
    originals = [pack(Kind.PUSH, [[["w", "float32"]]], 3, 1, 1024), pack(Kind.OVERWRITE, [[[7, "float16"]]], 3, 1, 8),
                 pack(Kind.INIT, [[["v", "float64", [9]]]], 3, 1, 72),
                 pack(Kind.ROW_PUSH, [[["w", "float32", 2]]], 3, 1, 48),
                 pack(Kind.SETTINGS, [{"lr": 0.5}], 3, 1), pack(Kind.OPTIMIZER, ["adam", {"beta1": 0.5}], 3, 1),
                 pack(Kind.SET_STATES, [{"tree": {"d": [["states", {"d": []}]]}, "arrays": []}], 3, 1)]
    applied = refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, data in enumerate(mutations(2, originals)):
        try:
            frame = parse(data, CONTROL)._replace(session=1, sequence=number + 10)
            if frame.kind not in CHANGES - {Kind.APPLIED}:
                raise FrameError("not a change")
            size = values.payload_bytes(frame)
            assert size <= 2 << 20
            values.apply(frame, torch.full((size,), number % 3, dtype=torch.uint8))
            applied += 1
        except (ConnectionError, ValueError):       # FrameError, KVStoreError
            refused += 1
    assert applied + refused == FUZZED and applied > 100 and refused > 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10       # kB
    assert values.values["w"].shape == (64, 4) and values.held_bytes <= 1 << 20


@pytest.fixture
def server():
    made = ControlServer(Job(num_workers=2, port=0, hosts_control=False, token="right", timeout=3.0))
    made.start()
    yield made
    made.close()


def member(server, rank, token="right", **options):
    return Control(Job(rank=rank, num_workers=2, address=server.address, port=server.port, hosts_control=False,
                       token=token, join_timeout=5, **options))


def knock(server, data: bytes, seconds: float = 8) -> bytes:
    """What the server says to a stranger who sends this, until it closes."""
    with socket.create_connection((server.address, server.port), timeout=seconds) as sock:
        found = b""
        try:
            sock.sendall(data)
            while more := sock.recv(1 << 16):
                found += more
        except ConnectionResetError:
            pass
        return found


def test_a_wrong_token_is_refused_with_a_log_line(server, caplog):
    good = member(server, 0)
    with caplog.at_level(logging.WARNING), pytest.raises(JoinRefusedError, match="token is not this job's"):
        member(server, 1, token="wrong")
    for _ in range(100):        # the server writes the line after it has told the peer
        if "token is not this job's" in caplog.text:
            break
        time.sleep(0.05)
    assert "token is not this job's" in caplog.text
    good.ask(Kind.NUM_KEYS, [])
    good.close()


@pytest.mark.parametrize("data", [
    b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 100, b"\0" * 28, pack(Kind.SET, ["key", b"value"]),
    pack(Kind.JOIN, [b"n" * 32, b"p" * 32, {"rank": 0}]), pack(Kind.JOIN, [b"x" * 5000]),
    HEADER.pack(b"MXK1", Kind.JOIN, 0, 3, 0, 0, 2**32 - 1, 0), HEADER.pack(b"MXK1", Kind.JOIN, 0, 3, 0, 0, 10, 2**63)])
def test_strangers_lose_their_connection_and_disturb_nobody(server, caplog, data):
    good = member(server, 0)
    with caplog.at_level(logging.WARNING):
        if data:
            said = knock(server, data)
            assert parse(said, CONTROL).kind is Kind.HELLO
        else:
            with socket.create_connection((server.address, server.port)):    # a port scan
                pass
        for _ in range(100):
            if "closed 127.0.0.1" in caplog.text:
                break
            time.sleep(0.05)
    assert "closed 127.0.0.1" in caplog.text
    good.ask(Kind.NUM_KEYS, [])
    assert [one.state for one in good.members] == ["alive"]
    good.close()


def test_a_member_that_sends_nonsense_is_put_out_and_the_others_go_on(server, caplog):
    good, bad = member(server, 0), member(server, 1)
    bad._background.loop.call_soon_threadsafe(bad._channel._writer.write, b"nonsense" * 10)
    # the news of the other's joining may still be on its way, too
    assert good.wait_for(lambda: (found := good.member("worker", 1)) is not None and found.state == "dead", 5)
    assert "not a frame" in good.member("worker", 1).reason
    with pytest.raises(ControlLostError):
        bad.ask(Kind.NUM_KEYS, [])
    good.ask(Kind.NUM_KEYS, [])
    good.close()
    bad.close()


def test_a_false_server_is_found_out():
    """Whoever listens without the token cannot pass as the control server."""
    false = ControlServer(Job(num_workers=1, port=0, hosts_control=False, token=""))
    address, port = false.start()
    false.job = Job(num_workers=1, port=port, hosts_control=False, token="guessed")
    try:
        with pytest.raises(JoinRefusedError):
            Control(Job(rank=0, address=address, port=port, hosts_control=False, token="right", join_timeout=2))
    finally:
        false.close()


def test_a_recorded_proof_is_of_no_use():
    first, second = authentication.nonce(), authentication.nonce()
    proof = authentication.proof("t", "join", first, b"n", b"{}")
    assert authentication.proves(proof, "t", "join", first, b"n", b"{}")
    for other in (("t", "join", second, b"n", b"{}"), ("t", "welcome", first, b"n", b"{}"),
                  ("u", "join", first, b"n", b"{}"), ("t", "join", first, b"n{", b"}")):
        assert not authentication.proves(proof, *other)


def test_a_parameter_server_refuses_strangers_and_sessions_that_are_over(caplog):
    with running(1, 1, token="right") as job:
        store = job.worker(0)
        store.init(0, torch.zeros(2))
        place = dict(one.split(":", 1) for one in store._control.member("server", 0).address.split(";"))
        host, _, port = place["tcp"].rpartition(":")
        assert host == "127.0.0.1"
        server = type("Place", (), {"address": host, "port": int(port)})
        with caplog.at_level(logging.WARNING):
            for data in (b"GET / HTTP/1.1\r\n\r\n" + b"x" * 50, pack(Kind.PULL, [[0], 0]),
                         pack(Kind.JOIN, [b"n" * 32, b"p" * 32, {"session": 2}])):
                knock(server, data)
        assert caplog.text.count("closed the connection") >= 3 and "token" in caplog.text
        link = store._links[0]
        link.close()
        real, store._control.session = store._control.session, 99
        with pytest.raises(Exception, match="session 99 is no living worker"):
            from mxdl.kvstore.connection import Connection, introduce
            connection = Connection(socket.create_connection((host, int(port))), lambda: None)
            introduce(connection, "right", {"session": 99})
        store._control.session = real
        out = torch.ones(2)
        store.pull(0, out)
        assert out.tolist() == [0, 0]


def test_an_oversized_claim_from_a_worker_takes_no_memory():
    with running(1, 1) as job:
        store = job.worker(0)
        store.init(0, torch.zeros(2))
        with pytest.raises(ValueError, match="its arrays take 8 bytes; got a payload of 1099511627776"):
            connection = store._links[0]._connected()
            connection.send_bytes([memoryview(pack(Kind.PUSH, [[[0, "float32"]]], 1, 1, 1 << 40))])
            answer = connection.receive()
            raise ValueError(take(answer, str, str)[1])
        store.set_optimizer(mx.optimizer.create("test"))
        store.push(0, torch.ones(2))        # by a new connection


def test_no_listener_outside_the_chosen_address():
    with running(1, 1) as job:
        listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
        ports = {job.about["port"]} | {listener.getsockname()[1] for listener in job.servers[0]._listeners
                                       if listener.family == socket.AF_INET}
        assert len(ports) == 2
        for port in ports:
            places = [line.split()[1] for line in listening.splitlines()[1:]
                      if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")]
            assert places == [f"0100007F:{port:04X}"]


def test_outside_loopback_a_token_is_needed():
    with pytest.raises(JobError, match="token"):
        ControlServer(Job(interface="0.0.0.0", hosts_control=False))


def test_tls_on_the_control_channel(tmp_path):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=job",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    server = ControlServer(Job(num_workers=1, port=0, hosts_control=False, token="t", tls_cert=cert, tls_key=key))
    address, port = server.start()
    about = dict(rank=0, address=address, port=port, hosts_control=False, token="t", join_timeout=3)
    try:
        control = Control(Job(**about, tls_ca=cert))
        transport = control._channel._writer.get_extra_info("ssl_object")
        assert isinstance(transport, ssl.SSLObject) and transport.version() in ("TLSv1.2", "TLSv1.3")
        control.barrier("x", timeout=5)
        control.close()
        with pytest.raises((ControlLostError, JoinRefusedError)):
            Control(Job(**about))       # without TLS
    finally:
        server.close()
    with pytest.raises(JobError, match="TLS: cannot read"):
        ControlServer(Job(port=0, hosts_control=False, tls_cert=key, tls_key=cert)).start()
