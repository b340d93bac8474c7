"""MXNet's launcher by its own arguments:  python tools/launch.py -n 4 -s 2 [-H hosts] [--launcher local|ssh] COMMAND

What it starts is `mxdl launch`, which has more.  No scheduler process is needed: the launcher is one.
"""
import argparse
import sys
from pathlib import Path

NOT_BUILT = {"mpi": "mpirun starts the workers itself: mpirun -n 4 python train.py (docs/cluster.md)",
             "sge": "submit the workers to the queue with MXDL_* variables (docs/cluster.md)",
             "yarn": "submit the workers to YARN with MXDL_* variables (docs/cluster.md)"}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("-n", "--num-workers", required=True, type=int)
    made.add_argument("-s", "--num-servers", type=int, help="default: as many as workers")
    made.add_argument("-H", "--hostfile", help="machines, one a line; needed for --launcher ssh")
    made.add_argument("--launcher", default="ssh", choices=["local", "ssh", *NOT_BUILT])
    made.add_argument("--sync-dst-dir", help="not built: copy the folder yourself, for example by rsync")
    made.add_argument("--env-server", action="append", default=[], metavar="NAME:VALUE")
    made.add_argument("--env-worker", action="append", default=[], metavar="NAME:VALUE")
    made.add_argument("--env", action="append", default=[], metavar="NAME", help="variables to hand on")
    made.add_argument("--p3", action="store_true", help="slices of large arrays go by priority")
    made.add_argument("command", nargs=argparse.REMAINDER)
    return made


def main(argv: list[str] | None = None) -> int:
    from mxdl.kvstore import config
    from mxdl.kvstore.errors import JobError
    from mxdl.kvstore.launch import Launch, Launcher
    from mxdl.kvstore.launch_hosts import HERE, Host, read_hosts
    options = parser()
    args = options.parse_args(argv)
    if args.launcher in NOT_BUILT:
        options.error(f"--launcher {args.launcher} is not built; {NOT_BUILT[args.launcher]}")
    if args.sync_dst_dir:
        options.error("--sync-dst-dir is not built; copy the folder to the machines first, for example by rsync")
    if not args.command:
        options.error("a command is needed; for example: python train.py")
    local = args.launcher == "local" or not args.hostfile
    here = config.environment()
    command = [sys.executable, *args.command[1:]] if args.command[0] == "python" else args.command
    try:
        return Launcher(Launch(
            command=command, num_workers=args.num_workers, folder=Path("runs/launch"),
            num_servers=args.num_workers if args.num_servers is None else args.num_servers,
            hosts=[Host(HERE)] if local else read_hosts(args.hostfile),
            variables={**{name: here[name] for name in args.env if name in here},
                       **({"MXNET_KVSTORE_USE_P3": "1"} if args.p3 else {})},
            worker_variables=_pairs(args.env_worker), server_variables=_pairs(args.env_server))).run()
    except JobError as error:
        options.error(str(error))


def _pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.split(":", 1) for text in texts)


if __name__ == "__main__":
    sys.exit(main())
