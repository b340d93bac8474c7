"""From real data to one C file in two minutes.

Trains LeNet on handwritten digits (hybridized, mirrored, through a kvstore), exports it to one C file, compiles that
with the system's compiler, and runs the program on the held-out digits.  Exit code 1 when the answers are not good
enough.
"""
import argparse
import time
from contextlib import contextmanager
from pathlib import Path

NAME = "quickstart"
SUMMARY = "train on real data, export to one C file, compile it, compare the answers"

_RECIPE = "vision/lenet_digits"
_LEAST_ACCURACY, _GREATEST_DIFFERENCE = 0.97, 1e-5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", type=Path,
                        help="where everything goes (default: runs/quickstart-<time>)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


@contextmanager
def _step(title: str, json: bool):
    """Says what is done and, at its end, how long it took."""
    from mxdl.recipes.progress import duration
    began = time.monotonic()
    if not json:
        print(f"== {title}", flush=True)
    yield
    if not json:
        print(f"   {duration(time.monotonic() - began)}", flush=True)


def run(args: argparse.Namespace) -> int:
    from mxdl.recipes import catalog, export
    from mxdl.recipes.evaluate import trained
    from mxdl.recipes.progress import Progress
    from mxdl.recipes.resolve import resolve
    from mxdl.recipes.run import Run, default_folder
    from mxdl.recipes.train import prepare, train

    name, path = catalog.find(_RECIPE)
    resolved = resolve(path, name)
    task = prepare(resolved)
    made = Run.create(args.out or default_folder("quickstart"), resolved)
    progress = Progress("json" if args.json else "auto", log=made.log)
    settings = resolved.recipe.train
    with _step(f"train {name} (mirror={settings.mirror}, kvstore={settings.kvstore})", args.json):
        train(task, resolved, made, progress)
    source, program = made.path("lenet.c"), made.path("lenet").resolve()
    with _step("export to one C file", args.json):
        model = trained(made, resolved)
        export.to_c(*model, source)
    with _step(f"compile {source} ({source.stat().st_size / 2**10:,.0f} kB)", args.json):
        command = export.compile_c(source, program, export.main_macro("lenet"))
    with _step("run the program on the held-out digits", args.json):
        found = compare(*model, program)
    good = (min(found["trained_accuracy"], found["compiled_accuracy"]) >= _LEAST_ACCURACY
            and found["greatest_difference"] <= _GREATEST_DIFFERENCE)
    if args.json:
        progress.event("quickstart", run=str(made.folder), command=command, good=good, **found)
        return 0 if good else 1
    print(f"""
trained accuracy    {found["trained_accuracy"]:.2%} of {found["images"]} held-out digits ({_LEAST_ACCURACY:.0%} wanted)
compiled accuracy   {found["compiled_accuracy"]:.2%} of the same digits
greatest difference {found["greatest_difference"]:.1e} between their outputs ({_GREATEST_DIFFERENCE:.0e} allowed)
compiled, one digit {found["compiled_us"]:.0f} us
the C file          {source}
compiled by         {command}
{"All is well." if good else "NOT GOOD ENOUGH."}""")
    return 0 if good else 1


def compare(task, net, devices, program: Path) -> dict[str, float]:
    """The net's and the program's answers on the held-out data."""
    import subprocess

    import numpy as np

    import mxdl as mx
    from mxdl.recipes.task import VALID
    task.open()
    batches = list(task.batches(VALID, 0))
    data = np.concatenate([batch.data for batch in batches])
    label = np.concatenate([batch.label for batch in batches])
    expected = np.concatenate([net(mx.nd.array(batch.data, ctx=devices[0])).asnumpy() for batch in batches])
    began = time.perf_counter()
    answer = subprocess.run([str(program)], input=data.tobytes(), capture_output=True, check=True).stdout
    seconds = time.perf_counter() - began
    got = np.frombuffer(answer, np.float32).reshape(expected.shape)
    return {"images": len(label), "trained_accuracy": float((expected.argmax(1) == label).mean()),
            "compiled_accuracy": float((got.argmax(1) == label).mean()),
            "greatest_difference": float(np.abs(got - expected).max()), "compiled_us": 1e6 * seconds / len(label)}
