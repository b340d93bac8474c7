"""SyncBatchNorm: batch statistics over all devices of a batch."""
from __future__ import annotations

from typing import Any

from ....device import num_gpus
from ....errors import NotBuiltError
from ...nn import BatchNorm


class SyncBatchNorm(BatchNorm):
    """BatchNorm whose mean and variance are those of the whole batch on `num_devices` devices.

    On one device it is BatchNorm.   Raises NotBuiltError for several.
    """

    def __init__(self, in_channels: int = 0, num_devices: int | None = None, momentum: float = 0.9,
                 epsilon: float = 1e-5, center: bool = True, scale: bool = True, use_global_stats: bool = False,
                 beta_initializer: Any = "zeros", gamma_initializer: Any = "ones",
                 running_mean_initializer: Any = "zeros", running_variance_initializer: Any = "ones", **kwargs: Any):
        devices = max(1, num_gpus()) if num_devices is None else num_devices
        if devices != 1:
            raise NotBuiltError(f"SyncBatchNorm: statistics over several devices are not built; got {devices}; "
                                f"use num_devices=1, or nn.BatchNorm with a larger batch on each device")
        super().__init__(1, momentum, epsilon, center, scale, use_global_stats, beta_initializer, gamma_initializer,
                         running_mean_initializer, running_variance_initializer, in_channels, **kwargs)
