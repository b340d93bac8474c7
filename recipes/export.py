"""From a trained net to files that run elsewhere: MXNet's pair of files, one C file, and a program."""
import re
import subprocess
import tempfile
from pathlib import Path

from mxdl import config
from mxdl.errors import MXNetError

from .task import Task


class CompilerError(MXNetError):
    """The C compiler is missing, or refused the file.  Fix: install gcc or clang, or name a compiler in CC."""


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


def files_to_c(prefix: str, shapes: dict[str, tuple[int, ...]], target: Path, name: str = "") -> None:
    """Writes one C file from MXNet's files; its functions begin with `name` (default: from the file's name).

    Raises NotBuiltError where an operator has no C kernel; nothing is then written.
    """
    from mxdl.codegen.export import export_c_files
    export_c_files(prefix, 0, shapes, target, name or c_name(target))


def to_c(task: Task, net, devices: list, target: Path, name: str = "") -> None:
    """Writes one C file of a trained net, for a batch of one."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "model")
        to_mxnet(task, net, devices, prefix)
        shapes = [part.shape for part in task.example()]
        files_to_c(prefix, dict(zip(free_inputs(prefix), shapes, strict=True)), target, name)


def c_name(target: Path) -> str:
    """A C identifier from a file's name: `my-net.c` is my_net."""
    name = re.sub(r"\W", "_", Path(target).stem, flags=re.ASCII)
    return name if name[:1].isalpha() else f"model_{name}"


def compile_c(source: Path, program: Path, *options: str) -> str:
    """Compiles a C file with the system's compiler; returns the command.  Raises CompilerError."""
    command = [*config.compiler().split(), "-O3", *options, str(source), "-o", str(program), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise CompilerError(f"compile: no C compiler {command[0]!r} here; install gcc or clang, or set CC") from None
    except subprocess.CalledProcessError as error:
        raise CompilerError(f"compile: {' '.join(command)} failed:\n{error.stderr.strip()}") from None
    return " ".join(command)


def main_macro(name: str) -> str:
    """The option that adds a main() to an exported file: it reads float32 from standard input and writes float32."""
    return f"-D{name.upper()}_MAIN"
