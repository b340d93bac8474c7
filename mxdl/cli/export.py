"""Turn a model into files that run elsewhere.

    mxdl export runs/vision-lenet_digits-... --to c -o lenet.c        one C file: cc -O3 lenet.c -lm
    mxdl export runs/vision-lenet_digits-... --to js -o lenet.js      WebAssembly in one script, and its types
    mxdl export runs/vision-lenet_digits-... --to html -o lenet.html  one page that runs from a file
    mxdl export runs/vision-lenet_digits-... --to android -o libs     a library, its header and a class for Java
    mxdl export runs/vision-lenet_digits-... --to onnx -o lenet.onnx  for other runtimes
    mxdl export runs/vision-lenet_digits-... --to mxnet -o lenet      lenet-symbol.json and lenet-0000.params
    mxdl export resnet --to c -o resnet.c --input data=1,3,224,224    from MXNet's own files resnet-symbol.json, ...
"""
import argparse
from pathlib import Path

NAME = "export"
SUMMARY = "one C file, a script, a page or a library from a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run's folder, or the prefix of -symbol.json and -0000.params")
    parser.add_argument("--to", metavar="FORMAT", required=True,
                        help="c, js, html, onnx, mxnet, or a machine: aarch64-linux, armv7-linux, riscv64-linux, "
                             "x86_64-linux, android, ios, macos, windows, ...")
    parser.add_argument("-o", "--out", metavar="PATH", required=True,
                        help="the file, the prefix of MXNet's files, or the folder of a machine's library")
    parser.add_argument("--input", metavar="NAME=SHAPE", action="append", default=[],
                        help="an input of a model given as files, such as data=1,3,224,224")
    parser.add_argument("--name", default="", help="what the C functions begin with (default: the file's name)")
    parser.add_argument("--which", default="last", help="a run's checkpoint: last (default), best, or a step's number")
    parser.add_argument("--weights", default="", metavar="PLACE",
                        help="inside (default), beside, incbin or embed: where the parameters lie")
    parser.add_argument("--packed", action="store_true",
                        help="also store parameters as the kernels of this machine read them: there at once")
    parser.add_argument("--threads", type=int, default=1, metavar="N",
                        help="threads that compute a call together (C and libraries, pthreads; default 1)")
    parser.add_argument("--tune", type=float, nargs="?", const=60.0, default=0.0, metavar="SECONDS",
                        help="search on this machine how convolutions are best computed (default 60 s); kept for later")
    parser.add_argument("--precision", default="float32", metavar="DTYPE",
                        help="float32 (default), float16, bfloat16, or int8 with a scale for each channel: how "
                             "parameters are stored; what that loses is printed")
    parser.add_argument("--max-batch", type=int, default=1, metavar="N",
                        help="examples that one call of the C functions may take (default 1)")
    parser.add_argument("--nan", default="accept", metavar="POLICY",
                        help="accept (default), refuse or zero: what becomes of NaN in an input")
    parser.add_argument("--header", action="store_true", help="also write the C file's interface as a .h")
    parser.add_argument("--form", default="static", help="of a machine's library: static (default), shared or object")
    parser.add_argument("--with", dest="compiler", default="", metavar="CLANG",
                        help="a clang for WebAssembly instead of the package ziglang's")


def run(args: argparse.Namespace) -> None:
    from mxdl.cli.main import Usage
    from mxdl.recipes import export
    from mxdl.recipes.run import Run
    options = {"weights": args.weights or ("beside" if args.packed else ""), "packed": args.packed, "nan": args.nan,
               "header": args.header, "form": args.form, "compiler": args.compiler, "precision": args.precision,
               "max_batch": args.max_batch, "threads": args.threads, "tune": args.tune, "tell": print}
    if args.to != "mxnet":
        export.require_formats([args.to])
    if Run.is_one(args.model):
        from mxdl.recipes.evaluate import trained
        found = Run.open(args.model)
        model = trained(found, found.resolved(), args.which)
        if args.to == "mxnet":
            print(" and ".join(export.to_mxnet(*model, args.out)))
            return
        written = export.to_files(args.to, *model, Path(args.out), args.name, **options,
                                  provenance={"run": found.folder.name, "checkpoint": args.which})
    elif not Path(f"{args.model}-symbol.json").is_file():
        raise Usage(f"export: {args.model} is neither a run nor the prefix of a -symbol.json")
    elif args.to == "mxnet":
        raise Usage(f"export: {args.model} is given as MXNet's files already")
    else:
        written = export.files_to(args.to, args.model, shapes(args.input), Path(args.out), args.name, **options)
    for path in written:
        print(f"{path}: {path.stat().st_size / 2**10:,.0f} kB")
    if args.to == "c":
        print(f"compile it with: cc -O3 {args.out} -lm{' -lpthread' if args.threads > 1 else ''}")


def shapes(words: list[str]) -> dict[str, tuple[int, ...]]:
    """{"data": (1, 3, 224, 224)} of ["data=1,3,224,224"].  Raises Usage."""
    from mxdl.cli.main import Usage
    found = {}
    for word in words:
        name, _, lengths = word.partition("=")
        try:
            found[name] = tuple(int(length) for length in lengths.split(","))
        except ValueError:
            raise Usage(f"export: --input must be NAME=SHAPE such as data=1,3,224,224; got {word!r}") from None
    if not found:
        raise Usage("export: a model given as files needs the shapes of its inputs: --input data=1,3,224,224")
    return found
