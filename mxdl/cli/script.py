"""Run a script that was written for MXNet:  mxdl run train_mnist.py --batch-size 64

Within the script `import mxnet` gives mxdl.  The words after the script's name are the script's own.
"""
import argparse

NAME = "run"
SUMMARY = "run a script that imports mxnet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", metavar="SCRIPT", help="a Python file")
    parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="the script's own arguments")


def run(args: argparse.Namespace) -> None:
    import runpy
    import sys
    from pathlib import Path

    from mxdl import compat
    from mxdl.cli.main import Usage
    if not Path(args.script).is_file():
        raise Usage(f"run: no such script: {args.script}")
    compat.install()
    sys.argv = [args.script, *args.arguments]
    sys.path.insert(0, str(Path(args.script).resolve().parent))
    runpy.run_path(args.script, run_name="__main__")
