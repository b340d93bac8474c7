"""Start a program as several workers:  mxdl launch -n 4 [-s 2] [--hosts FILE] python train.py

Each worker finds the others by `mx.kv.create("dist_sync")` or "dist_async".  What they print is shown with the
worker's name before each line, and kept in the folder of the launch.  A process that falls is started again.

  mxdl launch --status runs/launch-...      what each process is doing
"""
import argparse
import datetime
import logging
import sys
from pathlib import Path

NAME = "launch"
SUMMARY = "start a program as several workers, on this machine or over ssh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--num-workers", type=int, metavar="N", help="workers")
    parser.add_argument("-s", "--num-servers", type=int, default=0, metavar="N",
                        help="parameter server processes for dist_async (default 0: a thread of worker 0)")
    parser.add_argument("--hosts", metavar="FILE", help="machines reached by ssh: a line each, name or name slots=4")
    parser.add_argument("--out", metavar="FOLDER", type=Path,
                        help="for logs and the status (default: runs/launch-<time>)")
    parser.add_argument("--restarts", type=int, default=3, metavar="N",
                        help="how often a process may be started again (default 3)")
    parser.add_argument("--keep-going", action="store_true",
                        help="a worker that failed for good does not end the others")
    parser.add_argument("--elastic", action="store_true",
                        help="dist_sync goes on when a worker falls, and lets the one in that takes its place")
    parser.add_argument("--no-journal", action="store_true",
                        help="servers keep no journal: faster, but a killed server's state is lost")
    parser.add_argument("--interface", default="", help="interface or address that other machines reach this one by")
    parser.add_argument("--port", type=int, default=0, help="port of the control server (default: a free one)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS",
                        help="silence after which a process counts as dead (default 10)")
    parser.add_argument("--ssh", default="ssh -o BatchMode=yes", help="the ssh command")
    parser.add_argument("--server-import", action="append", default=[], metavar="FILE",
                        help="a Python file that registers your own optimizers in the servers")
    parser.add_argument("--status", metavar="FOLDER", help="show the job that was launched into FOLDER")
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the workers' program")


def run(args: argparse.Namespace) -> int:
    from mxdl.cli.main import Usage
    from mxdl.kvstore import launch_status
    from mxdl.kvstore.errors import JobError
    try:
        if args.status is not None:
            print(launch_status.table(launch_status.read(args.status)))
            return 0
        command = args.command[1:] if args.command[:1] == ["--"] else args.command
        if not args.num_workers or args.num_workers < 1 or not command:
            raise Usage("launch: needs -n WORKERS and a command; got "
                        f"-n {args.num_workers} and {' '.join(command) or 'no command'!r}; "
                        "for example: mxdl launch -n 4 python train.py")
        return start(args, command)
    except JobError as error:
        raise Usage(str(error)) from error


def default_folder() -> Path:
    return Path("runs") / f"launch-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def start(args: argparse.Namespace, command: list[str]) -> int:
    """Runs the job that the arguments describe; returns its exit code.  Raises JobError."""
    if command[0] == "python":      # the same one, whatever the path says
        command = [sys.executable, *command[1:]]
    return launch(command, args.num_workers, folder=args.out or default_folder(), hosts_file=args.hosts,
                  num_servers=args.num_servers, restarts=args.restarts, keep_going=args.keep_going,
                  elastic=args.elastic, journal=not args.no_journal, interface=args.interface, port=args.port,
                  timeout=args.timeout, ssh=args.ssh.split(), server_imports=args.server_import)


def launch(command: list[str], num_workers: int, folder: Path, hosts_file: str | None = None, **options) -> int:
    """Runs a job; returns its exit code.  options: of mxdl.kvstore.launch.Launch.  Raises JobError."""
    from mxdl.kvstore.launch import Launch, Launcher
    from mxdl.kvstore.launch_hosts import HERE, Host, read_hosts
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    hosts = read_hosts(hosts_file) if hosts_file else [Host(HERE)]
    launcher = Launcher(Launch(command, num_workers, folder, hosts=hosts, **options))
    print(f"launch: {num_workers} workers and {launcher.launch.num_servers} servers; logs in {folder}",
          file=sys.stderr, flush=True)
    return launcher.run()
