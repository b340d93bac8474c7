"""Launching: variables, logs, restarts, ssh, status, MXNet's arguments; real processes."""
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mxdl.kvstore import launch_status
from mxdl.kvstore.errors import JobError
from mxdl.kvstore.launch import Launch, Launcher, Process
from mxdl.kvstore.launch_hosts import Host, place, read_hosts

PROGRAMS = Path(__file__).with_name("programs.py")
ROOT = PROGRAMS.parents[2]


def program(*words) -> list[str]:
    return [sys.executable, str(PROGRAMS), *map(str, words)]


def acknowledged(folder: Path) -> int:
    """Pushes that any worker saw acknowledged."""
    return sum(int(file.read_text() or 0) for file in folder.glob("acknowledged-*"))


def values(folder: Path) -> list[list[float]]:
    return [list(map(float, file.read_text().split())) for file in sorted(folder.glob("value-*"))]


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


class Running:
    """A launch in a thread."""

    def __init__(self, launch: Launch):
        self.launcher = Launcher(launch)
        self.code = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self.code = self.launcher.run()

    def process(self, role, rank):
        return next(one.status for one in self.launcher.processes if (one.status.role, one.status.rank) == (role, rank))

    def join(self, seconds=90):
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.launcher.stop()
            self._thread.join()
            raise AssertionError(f"the job did not end within {seconds} s")
        return self.code


@pytest.mark.parametrize("num_servers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_and_servers_find_each_other(tmp_path, capfd, num_servers):
    launch = Launch(program("push_ones", tmp_path, 5), 2, tmp_path / "logs", num_servers)
    assert Running(launch).join() == 0
    assert values(tmp_path) == [[10, 10], [10, 10]] and acknowledged(tmp_path) == 10
    status = launch_status.read(tmp_path / "logs")
    assert status.state == "ended" and {one.state for one in status.processes} == {"ended"}
    assert len(status.processes) == 2 + num_servers and not (tmp_path / "logs/journal").exists()
    assert "worker 1" in launch_status.table(status)


def test_what_fell_is_started_again_and_its_log_goes_on(tmp_path, capfd):
    fall_once = (f"test -e {tmp_path}/fell-$MXDL_RANK || {{ touch {tmp_path}/fell-$MXDL_RANK; kill -9 $$; }}; "
                 "echo second start of $MXDL_RANK $DMLC_WORKER_ID")
    assert Running(Launch(["sh", "-c", fall_once], 2, tmp_path / "logs")).join(60) == 0
    log = (tmp_path / "logs/worker-1.log").read_text()
    assert log.startswith("--- started again (1) ---") and "second start of 1 1" in log
    assert "[worker 1] second start of 1 1" in capfd.readouterr().out
    assert [one.restarts for one in launch_status.read(tmp_path / "logs").processes] == [1, 1]


def test_who_falls_just_after_it_was_looked_after_is_started_again(tmp_path, monkeypatch):
    poll, hidden = Process.poll, set()

    def a_moment_ago(self):
        """As if the process had still run when it was looked at first after it fell."""
        if self._popen.poll() is not None and self._popen.pid not in hidden:
            hidden.add(self._popen.pid)
            return None
        return poll(self)

    monkeypatch.setattr(Process, "poll", a_moment_ago)
    fall_once = f"test -e {tmp_path}/fell-$MXDL_RANK || {{ touch {tmp_path}/fell-$MXDL_RANK; exit 1; }}"
    assert Running(Launch(["sh", "-c", fall_once], 2, tmp_path / "logs")).join(60) == 0
    assert [one.restarts for one in launch_status.read(tmp_path / "logs").processes] == [1, 1]


def test_a_failure_ends_the_job_once_restarts_are_used_up(tmp_path):
    began = time.monotonic()
    assert Running(Launch(["sh", "-c", "exit 3"], 2, tmp_path, restarts=1)).join(60) == 3
    assert time.monotonic() - began < 40
    assert "failed (3)" in launch_status.table(launch_status.read(tmp_path))


def test_a_stop_ends_every_process(tmp_path):
    running = Running(Launch(["sleep", "100"], 2, tmp_path))
    wait_until(lambda: (tmp_path / "launch.json").exists())
    assert launch_status.is_running(launch_status.read(tmp_path))
    running.launcher.stop()
    assert running.join(20) == 128 + signal.SIGTERM
    for one in running.launcher.processes:
        with pytest.raises(ProcessLookupError):
            os.kill(one.status.pid, 0)
    assert launch_status.read(tmp_path).state == "stopped"


def test_hosts_come_from_a_file(tmp_path):
    (tmp_path / "hosts").write_text("# ours\na slots=2\nuser@b   # one\n\n")
    hosts = read_hosts(tmp_path / "hosts")
    assert hosts == [Host("a", 2), Host("user@b", 1)]
    assert place(hosts, 5) == ["a", "a", "user@b", "a", "a"]
    (tmp_path / "bad").write_text("a slots=x\n-oProxyCommand=x\n")
    with pytest.raises(JobError, match="bad:1.*bad:2"):
        read_hosts(tmp_path / "bad")


def test_ssh_gets_the_command_but_not_the_token(tmp_path):
    """A stand-in for ssh that runs the command here, as sshd would."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nshift\nexec sh -c "$*"\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    launch = Launch(program("push_ones", tmp_path, 3), 2, tmp_path / "logs", hosts=[Host("far"), Host("further")],
                    ssh=[str(ssh)], interface="127.0.0.1", token="very secret")
    assert Running(launch).join() == 0
    called = (tmp_path / "called").read_text()
    assert "far" in called and "MXDL_HOST=further" in called and "very secret" not in called
    assert values(tmp_path) == [[6, 6], [6, 6]]


def test_a_remote_process_ends_with_its_launcher(tmp_path):
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nshift\nexec setsid -w sh -c "$*"\n')     # as out of our reach as a remote process
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    running = Running(Launch(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 100"], 1, tmp_path / "logs",
                             hosts=[Host("far")], ssh=[str(ssh)], interface="127.0.0.1"))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    running.launcher.stop()
    running.join(30)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2], 15)


def test_mxnets_launcher_arguments_work(tmp_path):
    tool = [sys.executable, "-m", "mxdl.tools.launch"]
    done = subprocess.run([*tool, "-n", "2", "-s", "1", "--launcher", "local", "--env-worker", "GREETING:hello", "sh",
                           "-c", "echo $GREETING $DMLC_ROLE $DMLC_NUM_WORKER"], cwd=tmp_path, text=True,
                          capture_output=True, timeout=90, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "[worker 0] hello worker 2" in done.stdout and "[worker 1] hello worker 2" in done.stdout
    refused = subprocess.run([*tool, "-n", "2", "--launcher", "yarn", "true"], text=True, capture_output=True,
                             cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert refused.returncode == 2 and "docs/cluster.md" in refused.stderr


def test_the_command_line(tmp_path):
    from mxdl.cli.main import main
    assert main(["launch", "-n", "2", "--out", str(tmp_path / "job"), "--", "sh", "-c", "exit 0"]) == 0
    assert main(["launch", "--status", str(tmp_path / "job")]) == 0
    assert main(["launch", "--status", str(tmp_path)]) == 2
    assert main(["launch", "true"]) == 2
