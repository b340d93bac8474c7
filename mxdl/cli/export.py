"""Turn a model into files that run elsewhere.

    mxdl export runs/vision-lenet_digits-... --to c -o lenet.c        one C file: cc -O3 lenet.c -lm
    mxdl export runs/vision-lenet_digits-... --to mxnet -o lenet      lenet-symbol.json and lenet-0000.params
    mxdl export resnet --to c -o resnet.c --input data=1,3,224,224    from MXNet's own files resnet-symbol.json, ...
"""
import argparse
from pathlib import Path

NAME = "export"
SUMMARY = "one C file, or MXNet's files, from a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run's folder, or the prefix of -symbol.json and -0000.params")
    parser.add_argument("--to", choices=["c", "mxnet"], required=True, help="the format")
    parser.add_argument("-o", "--out", metavar="PATH", required=True, help="the C file, or the prefix of MXNet's files")
    parser.add_argument("--input", metavar="NAME=SHAPE", action="append", default=[],
                        help="an input of a model given as files, such as data=1,3,224,224")
    parser.add_argument("--which", default="last", help="a run's checkpoint: last (default), best, or a step's number")


def run(args: argparse.Namespace) -> None:
    from mxdl.cli.main import Usage
    from mxdl.recipes.run import Run
    if Run.is_one(args.model):
        net, inputs = _from_run(Run.open(args.model), args.which)
    elif Path(f"{args.model}-symbol.json").is_file():
        net, inputs = _from_files(args.model, args.input)
    else:
        raise Usage(f"export: {args.model} is neither a run nor the prefix of a -symbol.json")
    net.hybridize()
    net(*inputs)
    if args.to == "mxnet":
        net.export(args.out)
        print(f"{args.out}-symbol.json and {args.out}-0000.params")
    else:
        net.export_c(args.out)
        print(f"{args.out}: {Path(args.out).stat().st_size / 2**10:,.0f} kB; compile it with: cc -O3 {args.out} -lm")


def _from_run(run, which: str):
    from mxdl.recipes.engine import example_inputs
    from mxdl.recipes.evaluate import trained
    task, net, devices = trained(run, run.resolved(), which)
    return net, example_inputs(task, devices[0])


def _from_files(prefix: str, words: list[str]):
    """(net, inputs of zeros) of MXNet's files.  Raises Usage for a shape that cannot be read."""
    import mxdl as mx
    from mxdl.cli.main import Usage
    shapes = {}
    for word in words:
        name, _, shape = word.partition("=")
        try:
            shapes[name] = tuple(int(length) for length in shape.split(","))
        except ValueError:
            raise Usage(f"export: --input must be NAME=SHAPE such as data=1,3,224,224; got {word!r}") from None
    if not shapes:
        raise Usage("export: a model given as files needs its inputs' shapes: --input data=1,3,224,224")
    params = Path(f"{prefix}-0000.params")
    net = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", [*shapes], str(params) if params.is_file() else None)
    return net, [mx.nd.zeros(shape) for shape in shapes.values()]
