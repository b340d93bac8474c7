"""Where did a loss that is not finite come from?"""
import numpy as np

from .task import Task


def first_not_finite(task: Task, net, data, label, slot: int) -> str:
    """The first parameter, else the first layer's output, that is not finite: found by running the net once eagerly."""
    for name, parameter in net.collect_params().items():
        if not np.isfinite(parameter.data(data.context).asnumpy()).all():
            return f"the value of {name}"
    found: list[str] = []

    def look(block, _inputs, outputs) -> None:
        # a block's hook runs after those of the blocks inside it, so the innermost comes first
        arrays = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        if not found and not all(np.isfinite(array.asnumpy()).all() for array in arrays if hasattr(array, "asnumpy")):
            found.append(f"the output of {block.name}")

    net.hybridize(False)
    net.apply(lambda block: block.register_forward_hook(look))
    task.loss(net, data, label, slot)
    return found[0] if found else "none of the layers, so the loss itself"
