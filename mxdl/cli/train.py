"""Train a recipe:  mxdl train vision/lenet_digits train.epochs=5 optimizer=sgd optimizer.momentum=0.9

RECIPE is a name that `mxdl list` shows, a YAML file, or (with --resume) the folder of a run.  Each key=value replaces a
value of the recipe, ~key goes back to the default; `mxdl describe RECIPE` shows all keys.  Ctrl-C saves and says how
to resume; a resumed run gives the same bits as one that was never stopped.
"""
import argparse
import json
import tempfile
from pathlib import Path

NAME = "train"
SUMMARY = "train a recipe, or resume a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name or file, or a run's folder")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="values that replace the recipe's")
    parser.add_argument("--config", metavar="FILE", type=Path, action="append", default=[],
                        help="a YAML file laid over the recipe (may be given several times)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="the run's folder (default: runs/<recipe>-<time>)")
    parser.add_argument("--resume", action="store_true",
                        help="go on where the run stopped; starts one where there is none")
    parser.add_argument("--check", action="store_true",
                        help="fail (exit code 1) when the recipe's expected metric is missed")
    parser.add_argument("--launch", metavar="N", type=int, default=0,
                        help="train by N worker processes (train.kvstore=dist_sync, unless dist_async is asked for)")
    parser.add_argument("--servers", metavar="N", type=int, default=1,
                        help="parameter server processes under --launch with dist_async (default 1)")
    parser.add_argument("--hosts", metavar="FILE",
                        help="machines for --launch, reached by ssh, that share the run's folder")
    parser.add_argument("--elastic", action="store_true",
                        help="under --launch with dist_sync: the others go on without a worker that dies, and its "
                             "replacement comes in between two steps")
    parser.add_argument("--ssh", default="ssh -o BatchMode=yes", help="the ssh command for --hosts")
    parser.add_argument("--interface", default="", help="interface or address that workers elsewhere reach this one by")
    parser.add_argument("--dry-run", action="store_true", help="build everything and train two steps on synthetic data")
    parser.add_argument("--quiet", action="store_true", help="print the result only")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(args: argparse.Namespace) -> int:
    from mxdl.cli.main import Usage
    from mxdl.recipes import catalog
    from mxdl.recipes.resolve import resolve
    from mxdl.recipes.run import Run, default_folder

    if Run.is_one(args.recipe):
        return _resume_folder(args, Run.open(args.recipe))
    name, path = catalog.find(args.recipe)
    resolved = resolve(path, name, args.overrides, args.config)
    if args.launch and "dist" not in resolved.recipe.train.kvstore:
        resolved = resolve(path, name, [*args.overrides, "train.kvstore=dist_sync"], args.config)
    if args.elastic and not (args.launch and "sync" in resolved.recipe.train.kvstore.replace("async", "")):
        raise Usage(f"--elastic is for several workers that go in step; got --launch {args.launch} and train.kvstore="
                    f"{resolved.recipe.train.kvstore}; give --launch N, and leave train.kvstore out")
    if args.dry_run:
        return _dry_run(args, resolved)
    if args.resume and args.out and Run.is_one(args.out):
        return _resume_folder(args, Run.open(args.out))
    from mxdl.recipes.train import prepare
    folder = args.out or default_folder(name)
    Run.check_free(folder)
    task = prepare(resolved)
    run = Run.create(folder, resolved)
    return _launch(args, run, resolved) if args.launch else _train(args, task, resolved, run, resume=False)


def _launch(args, run, resolved) -> int:
    """Starts the workers, each of which goes on with the run that is there."""
    import sys

    from mxdl.cli.launch import launch
    from mxdl.cli.main import Usage
    from mxdl.kvstore.errors import JobError
    from mxdl.recipes.evaluate import ExpectationMissed, missed
    from mxdl.recipes.metrics import read
    flags = [f"--{flag}" for flag in ("quiet", "json") if getattr(args, flag)]
    command = [sys.executable, "-m", "mxdl.cli.main", "train", str(run.folder.absolute()), "--resume", *flags]
    servers = args.servers if resolved.recipe.train.kvstore == "dist_async" else 0
    try:
        code = launch(command, args.launch, folder=run.folder / "launch", num_servers=servers, hosts_file=args.hosts,
                      elastic=args.elastic, ssh=args.ssh.split(), interface=args.interface)
    except JobError as error:
        raise Usage(str(error)) from error
    if code == 0 and args.check and (short := missed(resolved, read(run)[-1]["valid"])):
        raise ExpectationMissed(short)      # told here: a worker that fails would be started again
    return code


def _resume_folder(args, run) -> int:
    from mxdl.cli.main import Usage
    from mxdl.recipes.checkpoint import Checkpoints
    from mxdl.recipes.train import prepare
    if not args.resume:
        raise Usage(f"{run.folder} is a run; go on with it by: mxdl train {run.folder} --resume")
    resolved = run.resolved(args.overrides, args.config)
    if args.launch:
        return _launch(args, run, resolved)
    return _train(args, prepare(resolved), resolved, run, resume=Checkpoints(run.path("checkpoints")).has_any())


def _train(args, task, resolved, run, resume: bool) -> int:
    from mxdl.recipes.evaluate import ExpectationMissed, missed
    from mxdl.recipes.progress import Progress, figures
    from mxdl.recipes.train import train
    first = _is_first(resolved)
    mode = "quiet" if args.quiet or not first else "json" if args.json else "auto"
    run.is_writer = lambda: first
    progress = Progress(mode, resolved.recipe.log.every, run.log)
    try:
        record = train(task, resolved, run, progress, resume)
    except BaseException as error:
        run.log(f"{type(error).__name__}: {error}")
        raise
    if not first:
        return 0
    short = missed(resolved, record["valid"])
    if args.json:
        progress.event("end", run=str(run.folder), **record, expected=not short)
    else:
        print(f"{resolved.name}: {figures(record['valid'])} on the held-out data, in {run.folder}")
    if args.check and short:
        raise ExpectationMissed(short)
    return 0


def _is_first(resolved) -> bool:
    """Whether this process is the one that reports: the only one, or the first of several workers."""
    if "dist" not in resolved.recipe.train.kvstore:
        return True
    from mxdl.kvstore import Job
    return Job.from_environment().rank == 0


def _dry_run(args, resolved) -> int:
    from mxdl.recipes.progress import figures
    from mxdl.recipes.train import dry_run
    with tempfile.TemporaryDirectory() as folder:
        found = dry_run(resolved, Path(folder))
    if args.json:
        print(json.dumps({"event": "dry_run", "recipe": resolved.name, **found}))
    elif not args.quiet:
        print(f"{resolved.name}: two steps on synthetic data: {found['parameters']:,} parameters, "
              f"loss {found['loss']:.4f}, {figures(found['valid'])} held out, {found['seconds']:.2f} s, "
              f"{found['memory_mb']:,.0f} MB")
    return 0
