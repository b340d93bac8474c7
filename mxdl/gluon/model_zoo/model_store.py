"""Where trained weights of the model zoo are found on this machine.  Nothing is downloaded."""
from __future__ import annotations

from pathlib import Path

from ...config import home_folder


def folders(root: str | None = None) -> list[Path]:
    """Where weight files are looked for: `root`, or mxdl's own folder and then MXNet's."""
    return [Path(root).expanduser()] if root is not None else [home_folder() / "models",
                                                               Path("~/.mxnet/models").expanduser()]


def get_model_file(name: str, root: str | None = None) -> str:
    """The weight file of model `name`: NAME.params, or NAME-HASH.params as MXNet's download left it.

    Raises FileNotFoundError saying where it was looked for.
    """
    for folder in folders(root):
        found = [folder / f"{name}.params", *sorted(folder.glob(f"{name}-????????.params"))]
        for path in found:
            if path.is_file():
                return str(path)
    places = " or ".join(map(str, folders(root)))
    raise FileNotFoundError(f"model_zoo: no weights of {name!r} on this machine; looked in {places}; put {name}.params "
                            f"(as MXNet's save_parameters writes it) there, or use pretrained=False")
