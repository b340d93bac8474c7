"""The command `mxdl`.

Each command is a module with NAME, SUMMARY, `add_arguments(parser)` and `run(args)`, which returns the exit code or
None for 0.  Exit codes: 0 done, 1 failed, 2 used wrongly, 128 + n stopped by signal n.
"""
import argparse
import importlib
import json
import os
import sys

import mxdl
from mxdl.errors import MXNetError

COMMANDS = ("train", "plan", "evaluate", "predict", "export", "catalog", "describe", "launch", "script", "doctor",
            "quickstart")


class Usage(MXNetError):
    """The command line asks for something that cannot be; exit code 2."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mxdl", description="Train, measure and ship models.",
                                     epilog="mxdl COMMAND --help tells more of a command.")
    parser.add_argument("--version", action="version", version=f"mxdl {mxdl.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module_name in COMMANDS:
        command = importlib.import_module(f"mxdl.cli.{module_name}")
        sub = commands.add_parser(command.NAME, help=command.SUMMARY, description=command.__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The arguments; key=value words may also stand after options, which argparse alone does not allow."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    strange = rest if not hasattr(args, "overrides") else [word for word in rest if word.startswith("-")]
    if strange:
        parser.error(f"unrecognized arguments: {' '.join(strange)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def message(error: Exception) -> str:
    """The error's text, without the number that Python puts before the system's errors."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def explain(error: Exception, as_json: bool) -> int:
    """Tells an error in one message; returns the exit code."""
    if as_json:
        print(json.dumps({"event": "error", "kind": type(error).__name__, "message": message(error)}), flush=True)
    else:
        sys.stdout.flush()
        print(f"mxdl: {message(error)}", file=sys.stderr)
    if hasattr(error, "code"):
        return error.code
    return 1 if isinstance(error, (FloatingPointError, OSError)) and not isinstance(error, FileNotFoundError) else 2


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    args = parse(argv)
    try:
        return args.run(args) or 0
    except BrokenPipeError:  # the reader of our output has gone: `mxdl list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MXNetError, OSError) as error:
        if args.debug:
            raise
        return explain(error, getattr(args, "json", False))
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("mxdl: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
