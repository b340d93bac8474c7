"""Hidden attributes: strings on nodes that are no operator's, spelled ``__NAME__``."""

#: Spellings without underscores that mean hidden attributes; kept and written as ``__NAME__``.
HIDDEN_KEYS = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")


#: Where a traced node comes from: the block's path and the user's line.  For errors; in no file.
ORIGIN = "__block__"


def hidden_key(key: str) -> str:
    """``lr_mult`` -> ``__lr_mult__``; every other key stays as it is."""
    return f"__{key}__" if key in HIDDEN_KEYS else key
