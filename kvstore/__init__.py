"""A parameter store behind a small protocol; works on torch tensors and imports nothing of mxdl.

``create(name)`` builds a store; ``KVStoreBase`` is what a store of your own derives from.
"""
from .errors import KVStoreError, StoreNotBuiltError
from .local import LocalStore
from .store import KVStore, KVStoreBase, Updater, create

__all__ = ["KVStore", "KVStoreBase", "KVStoreError", "LocalStore", "StoreNotBuiltError", "Updater", "create"]
