"""MXNet's int8 quantization is not built: every name raises and says what does the same here."""
from __future__ import annotations

from typing import Any, NoReturn

from ..errors import NotBuiltError

_INSTEAD = {
    "quantize_model": "mxdl.codegen.export_c(..., precision='int8') writes a model with int8 parameters as C",
    "quantize_model_mkldnn": "hybridize(backend='inductor') for speed on a processor",
    "quantize_net": "net.export_c(path, x, precision='int8') writes a net with int8 parameters as C",
    "quantize_net_v2": "net.export_c(path, x, precision='int8') writes a net with int8 parameters as C",
    "quantize_graph": "mxdl.codegen.export_c(..., precision='int8') writes a model with int8 parameters as C",
    "calib_graph": "parameters in int8 need no calibration: export_c(..., precision='int8')",
}


def __getattr__(name: str) -> Any:
    if name not in _INSTEAD:
        raise AttributeError(f"module 'mxdl.contrib.quantization' has no attribute {name!r}")

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotBuiltError(f"contrib.quantization.{name}: quantized operators are not built; {_INSTEAD[name]}; "
                            f"mx.contrib.amp halves the memory")
    refuse.__name__ = name
    return refuse


def __dir__() -> list[str]:
    return sorted(_INSTEAD)
