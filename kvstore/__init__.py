"""A parameter store behind a small protocol; works on torch tensors and imports nothing of mxdl.

``create(name)`` builds a store; ``KVStoreBase`` is what a store of your own derives from.
"""
from .dist_async import AsyncStore
from .dist_sync import DistSyncStore
from .dist_sync_elastic import ElasticStore
from .errors import DeadServerError, DeadWorkerError, JobError, JobFailedError, KVStoreError, StoreNotBuiltError
from .horovod import HorovodStore
from .job import Job
from .local import LocalStore
from .nccl import NcclStore
from .roles import KVStoreServer
from .store import KVStore, KVStoreBase, Updater, create, is_for_workers

__all__ = ["AsyncStore", "DeadServerError", "DeadWorkerError", "DistSyncStore", "ElasticStore", "HorovodStore", "Job",
           "JobError", "JobFailedError", "KVStore", "KVStoreBase", "KVStoreError", "KVStoreServer", "LocalStore",
           "NcclStore", "StoreNotBuiltError", "Updater", "create", "is_for_workers"]
