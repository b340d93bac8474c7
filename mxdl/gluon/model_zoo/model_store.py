"""Where trained weights of the model zoo are found on this machine.  Nothing is downloaded."""
from __future__ import annotations

from pathlib import Path

from ...config import home_folder
from ...errors import FileFormatError
from ..utils import check_sha1

#: SHA-1 of weight files by model name; other packages add theirs.  A file of a name that is here must match.
_model_sha1: dict[str, str] = {}


def short_hash(name: str) -> str:
    """The part of a model's checksum that stands in its file name.  Raises ValueError for a model without one."""
    if name not in _model_sha1:
        raise ValueError(f"model_zoo: no checksum of {name!r} is known; got {len(_model_sha1)} others")
    return _model_sha1[name][:8]


def folders(root: str | None = None) -> list[Path]:
    """Where weight files are looked for: `root`, or mxdl's own folder and then MXNet's."""
    return [Path(root).expanduser()] if root is not None else [home_folder() / "models",
                                                               Path("~/.mxnet/models").expanduser()]


def get_model_file(name: str, root: str | None = None) -> str:
    """The weight file of model `name`: NAME.params, or NAME-HASH.params as MXNet's download left it.

    Raises FileNotFoundError saying where it was looked for, FileFormatError where its checksum is another.
    """
    for folder in folders(root):
        found = [folder / f"{name}.params", *sorted(folder.glob(f"{name}-????????.params"))]
        for path in found:
            if path.is_file():
                if name in _model_sha1 and not check_sha1(str(path), _model_sha1[name]):
                    raise FileFormatError(f"{path}: its SHA-1 is not {_model_sha1[name]}, that of {name!r}; it is "
                                          f"damaged or of another model: replace it")
                return str(path)
    places = " or ".join(map(str, folders(root)))
    raise FileNotFoundError(f"model_zoo: no weights of {name!r} on this machine; looked in {places}; put {name}.params "
                            f"(as MXNet's save_parameters writes it) there, or use pretrained=False")


def purge(root: str | None = None) -> None:
    """Delete the weight files in `root`, or in mxdl's own folder."""
    for path in folders(root)[0].glob("*.params"):
        path.unlink()
