"""Errors of the parameter store."""


class KVStoreError(ValueError):
    """A call that the store cannot carry out: an unknown or repeated key, a wrong shape, mixed key types.

    The message names the call, what is wrong and what to do.
    """


class StoreNotBuiltError(NotImplementedError):
    """A store or a feature that MXNet has and this package does not have yet (``dist_sync``, ``nccl``, ...)."""
