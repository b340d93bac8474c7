"""What glibc's allocator does with the blocks that a training step frees: keep them, or give them back.

By default glibc maps every block above 128 KiB (the limit grows with use, up to 32 MiB) anew and returns freed memory
at the end of its heap; each step then faults its pages in again, one by one.  Measured on an MLP 784-1024-1024-10,
batch 128, one thread: 1,590 page faults and 16.8 ms of CPU time a step by default, 21 faults and 12.8 ms when kept.
Never mapping at all would save larger blocks too (2.2 s instead of 3.4 s a step of a convolution net with 34 MB
activations), but the heap's fragments then raise the peak by two thirds; so blocks above 32 MiB are still mapped.

Blocks of 2 MiB and more also lie in huge pages, where Linux gives them to who asks: on 25 MB arrays batch norm is
1.4 times as fast forward and 1.25 times backward, sums and relu 1.1 times, matrix products the same (CPU time).

Under "return" every block above 256 KiB is mapped and unmapped: the heap has few holes.  Under mirroring by "sqrt" a
process grew by 1.03 (DenseNet-121) and 1.02 (Inception-v3, batch 8) times the plan, by 1.08 and 1.11 where blocks below
1 MiB stayed in the heap; the step's time differed by no more than runs do.  A ResNet [3, 8, 12, 3] of batch 8 under
mirroring has 0.82 GB of arrays and interpreter: with 1 MiB as the limit the process peaks at 0.95 GB, at 1.7 GB when
kept (and at 2.2 GB as glibc comes); the step takes 5.8 s of CPU time instead of 4.7 (6.5 without huge pages).
"""
from __future__ import annotations

import ctypes
import math
import mmap
import platform
from collections.abc import Sequence

import torch

from .config import ask_for_huge_pages, malloc_mode

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3   # malloc.h
NEVER = 2**31 - 1
#: bytes from which on zeros get pages of their own
_FEWEST_MAPPED = 1 << 16
#: `never_read`: address space that has no memory as long as nobody touches it
_nowhere = torch.empty(0, dtype=torch.uint8)
#: mode -> (blocks from this size on are mapped, free memory at the heap's end from this size on is returned)
THRESHOLDS = {"keep": (32 << 20, NEVER), "return": (1 << 18, 1 << 18)}   # glibc maps from 32 MiB on at the latest


def configure() -> bool:
    """Tell glibc, as MXDL_MALLOC says.  Returns whether it was there and agreed."""
    mode = malloc_mode()
    if mode == "system" or platform.libc_ver()[0] != "glibc":
        return False
    ask_for_huge_pages()
    libc = ctypes.CDLL(None)
    map_from, trim_from = THRESHOLDS[mode]
    return bool(libc.mallopt(M_MMAP_THRESHOLD, map_from) and libc.mallopt(M_TRIM_THRESHOLD, trim_from))


def trim() -> None:
    """Give back what lies free between live blocks, where MXDL_MALLOC says that memory counts."""
    if malloc_mode() == "return" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def zeros_on_demand(like: torch.Tensor) -> torch.Tensor:
    """Zeros of the shape and dtype of `like`, row-major.  On the CPU an array's pages come when they are written: a
    gradient's buffer that the first backward pass replaces never takes memory."""
    num_bytes = like.numel() * like.element_size()
    if like.device.type != "cpu" or num_bytes < _FEWEST_MAPPED:
        return torch.zeros_like(like, memory_format=torch.contiguous_format, requires_grad=False)
    pages = torch.frombuffer(mmap.mmap(-1, num_bytes), dtype=torch.uint8)
    # no view, which would keep what it was taken of: the memory would look shared, and gradients be copied into it
    return torch.empty(0, dtype=like.dtype).set_(pages.untyped_storage(), 0, like.shape)


def never_read(shape: Sequence[int], dtype: torch.dtype, device: torch.device, memory_format: torch.memory_format) \
        -> torch.Tensor:
    """A tensor for kernels that look at shape and strides alone.  On the CPU it takes address space but no memory."""
    global _nowhere
    if device.type != "cpu":
        return torch.empty(tuple(shape), dtype=dtype, device=device, memory_format=memory_format)
    num_bytes = math.prod(shape) * dtype.itemsize
    place = _nowhere
    if place.numel() < num_bytes:
        place = _nowhere = torch.frombuffer(mmap.mmap(-1, num_bytes), dtype=torch.uint8)
    strides = torch.empty(tuple(shape), device="meta", memory_format=memory_format).stride()
    return place[:num_bytes].view(dtype).as_strided(tuple(shape), strides)
