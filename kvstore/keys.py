"""Keys and the shape of calls: one key with one value, one key with a value per device, or lists of both."""
from collections.abc import Sequence

from .errors import KVStoreError

Key = int | str


def pairs(where: str, keys, values) -> list[tuple[Key, list]]:
    """The (key, [value per device]) pairs of a call, each key once, in the order of first appearance.

    Args:
        where: name of the call, for messages.
        keys: a key, or a list of keys.
        values: for one key a value or a list of values; for a list of keys a list of such.
    Raises:
        KVStoreError: a key that is no int or str, or lists of different lengths.
    """
    if not isinstance(keys, (list, tuple)):
        return [(_checked(where, keys), _as_list(values))]
    if not isinstance(values, (list, tuple)) or len(values) != len(keys):
        got = len(values) if isinstance(values, (list, tuple)) else type(values).__name__
        raise KVStoreError(f"{where}: {len(keys)} keys need a list of {len(keys)} values; got {got}")
    grouped: dict[Key, list] = {}
    for key, value in zip(keys, values, strict=True):
        grouped.setdefault(_checked(where, key), []).extend(_as_list(value))
    return list(grouped.items())


def check_one_kind(where: str, kind: type | None, keys: Sequence[Key]) -> type | None:
    """The type that all keys of a store share; `kind` is what it was before this call (None: no key yet)."""
    for key in keys:
        if kind is not None and not isinstance(key, kind):
            raise KVStoreError(f"{where}: key {key!r} is {type(key).__name__}, this store's keys are {kind.__name__}; "
                               "use one kind of key in one store")
        kind = type(key)
    return kind


def with_row_ids(targets, wanted):
    """(key, output, row ids) for each output of a row_sparse_pull: its own row ids, or the one that its key was given.

    targets, wanted: the pairs of the outputs and of the row ids.
    """
    for (key, copies), (_, ids) in zip(targets, wanted, strict=True):
        if len(ids) not in (1, len(copies)):
            raise KVStoreError(f"row_sparse_pull: key {key!r} has {len(copies)} outputs and {len(ids)} row_ids; "
                               "give one row_ids, or one for each output")
        for position, copy in enumerate(copies):
            yield key, copy, ids[position if len(ids) > 1 else 0]


def _checked(where: str, key) -> Key:
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise KVStoreError(f"{where}: a key is an int or a str; got {type(key).__name__} {key!r}")
    return key


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
