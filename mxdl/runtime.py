"""``mx.runtime``: what this installation can do, under MXNet's names."""
from __future__ import annotations

from typing import NamedTuple

import torch


class Feature(NamedTuple):
    """One capability and whether it is there."""

    name: str
    enabled: bool

    def __repr__(self) -> str:
        return f"{'✔' if self.enabled else '✖'} {self.name}"


def feature_list() -> list[Feature]:
    """Every capability that has a meaning here; MXNet's names of libraries that mxdl does not use are absent."""
    cuda = torch.cuda.is_available()
    flags = torch.backends.cpu.get_cpu_capability()
    return [Feature(name, bool(enabled)) for name, enabled in {
        "CUDA": cuda, "CUDNN": cuda and torch.backends.cudnn.is_available(),
        "NCCL": cuda and torch.distributed.is_available() and torch.distributed.is_nccl_available(),
        "CPU_AVX2": flags in ("AVX2", "AVX512"), "OPENMP": torch.backends.openmp.is_available(),
        "BLAS_MKL": torch.backends.mkl.is_available(), "LAPACK": torch._C.has_lapack,
        "MKLDNN": torch.backends.mkldnn.is_available(), "DIST_KVSTORE": torch.distributed.is_available(),
        "INT64_TENSOR_SIZE": True, "F16C": True,
    }.items()]


class Features(dict):
    """The features by name."""

    def __init__(self) -> None:
        super().__init__((feature.name, feature) for feature in feature_list())

    def __repr__(self) -> str:
        return str(list(self.values()))

    def is_enabled(self, feature_name: str) -> bool:
        """Whether the capability is there; names that mean nothing here are not."""
        feature = self.get(feature_name.upper())
        return feature is not None and feature.enabled
