"""The table that `Block.summary` prints."""
from __future__ import annotations

from typing import Any

from ..ndarray import NDArray
from .block import Block
from .hybrid import HybridBlock
from .parameter import Parameter

_ROW = "{:>20}  {:>42} {:>15}"
_WIDTH = 80


def print_summary(block: Block, *inputs: Any) -> None:
    """Run `block` on `inputs` and print each layer's output shape and number of parameters.

    Raises AssertionError where a block is hybridized, since its layers are then not met one by one.
    """
    rows: list[tuple[str, Any, int]] = [("Input", shapes_of(inputs[0] if len(inputs) == 1 else inputs), 0)]
    met: list[Parameter] = []
    handles: list = []

    def note(layer: Block) -> None:
        if isinstance(layer, HybridBlock) and layer._active:
            raise AssertionError(f"Block.summary: a hybridized block runs as one graph and cannot print its layers; "
                                 f"got {layer.name}; call hybridize(False) first")
        if type(layer).__name__ in ("Sequential", "HybridSequential"):
            return

        def hook(layer: Block, _: Any, outputs: Any) -> None:
            own = list(layer._reg_params.values())
            met.extend(own)
            rows.append((f"{type(layer).__name__}-{len(rows)}", shapes_of(outputs), sum(map(size, own))))
        handles.append(layer.register_forward_hook(hook))

    try:
        block.apply(note)
        block(*inputs)
    finally:
        for handle in handles:
            handle.detach()
    _print_table(rows, met)


def _print_table(rows: list[tuple[str, Any, int]], met: list[Parameter]) -> None:
    print("-" * _WIDTH)
    print(_ROW.format("Layer (type)", "Output Shape", "Param #"))
    print("=" * _WIDTH)
    for name, shape, count in rows:
        print(_ROW.format(name, str(shape), count))
    total = sum(map(size, met))
    trainable = sum(size(p) for p in met if p.grad_req != "null")
    unique = sum(map(size, set(met)))
    print("=" * _WIDTH)
    print("Parameters, counted at each layer that uses them")
    print(f"   Total params: {total}")
    print(f"   Trainable params: {trainable}")
    print(f"   Non-trainable params: {total - trainable}")
    print(f"   Counted twice (shared): {total - unique}")
    print(f"   Distinct params: {unique}")
    print("-" * _WIDTH)


def size(param: Parameter) -> int:
    """How many numbers a parameter holds."""
    count = 1
    for length in param.shape:
        count *= length
    return count


def shapes_of(value: Any) -> Any:
    """The shapes in nested arrays: a shape for one array, a list for several."""
    if isinstance(value, NDArray):
        return value.shape
    if isinstance(value, (list, tuple)):
        return [shapes_of(item) for item in value]
    return value
