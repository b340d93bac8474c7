"""From a trained net to files that run elsewhere: MXNet's pair of files, one C file, a page, a library, a program."""
import tempfile
from pathlib import Path
from typing import Any

from mxdl.codegen.toolchain import ToolchainError as CompilerError  # noqa: F401  what compile_c raises

from .task import Task


def to_mxnet(task: Task, net, devices: list, prefix: str) -> tuple[str, str]:
    """Writes PREFIX-symbol.json and PREFIX-0000.params."""
    from .engine import example_inputs
    net.hybridize()
    net(*example_inputs(task, devices[0]))
    net.export(prefix)
    return f"{prefix}-symbol.json", f"{prefix}-0000.params"


def free_inputs(prefix: str) -> list[str]:
    """Names of the inputs of MXNet's files that are not parameters, in order."""
    from mxdl import nd, sym
    known = {name.partition(":")[2] for name in nd.load(f"{prefix}-0000.params")}
    return [name for name in sym.load(f"{prefix}-symbol.json").list_inputs() if name not in known]


def files_to(to: str, prefix: str, shapes: dict[str, tuple[int, ...]], target: Path, name: str = "",
             **options: Any) -> list[Path]:
    """Writes MXNet's files in format `to`; functions begin with `name` (default: from the file's name).

    options: of mxdl.codegen.formats.export_files.   Raises NotBuiltError where an operator has no kernel; nothing is
    then written.
    """
    from mxdl.codegen.export import c_name, load_files
    from mxdl.codegen.formats import export_files
    return export_files(*load_files(prefix), shapes, to, target, name or c_name(target), **options)


def to_files(to: str, task: Task, net, devices: list, target: Path, name: str = "", **options: Any) -> list[Path]:
    """Writes a trained net in format `to`, for a batch of one."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "model")
        to_mxnet(task, net, devices, prefix)
        shapes = [part.shape for part in task.example()]
        return files_to(to, prefix, dict(zip(free_inputs(prefix), shapes, strict=True)), target, name,
                        task=task.page(), **options)


def to_c(task: Task, net, devices: list, target: Path, name: str = "") -> None:
    """Writes one C file of a trained net, for a batch of one."""
    to_files("c", task, net, devices, target, name)


def require_formats(formats: list[str]) -> None:
    """Raises OperatorError for a format that is not known, and ToolchainError where its compiler is missing."""
    from mxdl.codegen import toolchain
    from mxdl.codegen.formats import FORMATS, require_format
    for to in formats:
        if to != "mxnet":
            require_format(to)
    if any(to in FORMATS and to not in ("c", "onnx") for to in formats):
        toolchain.zig()


def to_all(formats: list[str], task: Task, net, devices: list, folder: Path, name: str) -> list[Path]:
    """Writes every format of a recipe's `export` into the run's folder: NAME.c, NAME.js, ..., and targets in folders
    of their own."""
    written: list[Path] = []
    for to in formats:
        if to == "mxnet":
            written += map(Path, to_mxnet(task, net, devices, str(folder / name)))
        else:
            target = folder / (f"{name}.{to}" if to in ("c", "js", "html", "onnx") else to)
            written += to_files(to, task, net, devices, target, name)
    return written


def compile_c(source: Path, program: Path, *options: str) -> str:
    """Compiles a C file with the system's compiler; returns the command.  Raises CompilerError."""
    from mxdl.codegen import toolchain
    command = [*toolchain.system(), "-O3", *options, str(source), "-o", str(program), "-lm"]
    toolchain.run(command)
    return " ".join(command)


def main_macro(name: str) -> str:
    """The option that adds a main() to an exported file: it reads float32 from standard input and writes float32."""
    return f"-D{name.upper()}_MAIN"
