"""``mx.context``: MXNet's name for mxdl/device.py."""
from .device import Context as Context
from .device import cpu as cpu
from .device import cpu_pinned as cpu_pinned
from .device import current_context as current_context
from .device import gpu as gpu
from .device import gpu_memory_info as gpu_memory_info
from .device import num_gpus as num_gpus
