"""Counting tokens."""
from __future__ import annotations

import re
from collections import Counter


def count_tokens_from_str(source_str: str, token_delim: str = " ", seq_delim: str = "\n", to_lower: bool = False,
                          counter_to_update: Counter | None = None) -> Counter:
    """How often each token stands in `source_str`, between delimiters; `counter_to_update` is added to and returned."""
    text = source_str.lower() if to_lower else source_str
    tokens = [t for t in re.split(f"{re.escape(token_delim)}|{re.escape(seq_delim)}", text) if t]
    counter = Counter() if counter_to_update is None else counter_to_update
    counter.update(tokens)
    return counter
