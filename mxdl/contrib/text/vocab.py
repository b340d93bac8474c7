"""A vocabulary: tokens by number, the most frequent first."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


class Vocabulary:
    """Tokens and their numbers: 0 is `unknown_token`, then `reserved_tokens`, then what `counter` holds, by frequency
    and then by name.

    most_freq_count: at most so many of the counter's tokens.   min_freq: only those that occur so often.
    """

    def __init__(self, counter: Counter | None = None, most_freq_count: int | None = None, min_freq: int = 1,
                 unknown_token: str = "<unk>", reserved_tokens: Sequence[str] | None = None):
        if min_freq < 1:
            raise AssertionError(f"Vocabulary: min_freq counts occurrences; got {min_freq}; give 1 or more")
        reserved = list(reserved_tokens or ())
        if unknown_token in reserved or len(set(reserved)) < len(reserved):
            raise AssertionError(f"Vocabulary: reserved_tokens holds a token twice, or the unknown token; got "
                                 f"{reserved} with unknown_token={unknown_token!r}")
        self._unknown_token = unknown_token
        self._reserved_tokens = None if reserved_tokens is None else reserved
        self._idx_to_token: list[str] = [unknown_token, *reserved]
        special = set(self._idx_to_token)
        by_frequency = sorted((counter or Counter()).items(), key=lambda item: (-item[1], item[0]))
        wanted = [token for token, count in by_frequency if count >= min_freq and token not in special]
        self._idx_to_token += wanted[:most_freq_count]
        self._token_to_idx: dict[str, int] = {token: i for i, token in enumerate(self._idx_to_token)}

    def __len__(self) -> int:
        return len(self._idx_to_token)

    @property
    def token_to_idx(self) -> dict[str, int]:
        return self._token_to_idx

    @property
    def idx_to_token(self) -> list[str]:
        return self._idx_to_token

    @property
    def unknown_token(self) -> str:
        return self._unknown_token

    @property
    def reserved_tokens(self) -> list[str] | None:
        return self._reserved_tokens

    def to_indices(self, tokens: str | Sequence[str]) -> Any:
        """The number of a token, or of each in a list; 0 for unknown ones."""
        if isinstance(tokens, str):
            return self._token_to_idx.get(tokens, 0)
        return [self._token_to_idx.get(token, 0) for token in tokens]

    def to_tokens(self, indices: int | Sequence[int]) -> Any:
        """The token of a number, or of each in a list.  Raises ValueError for a number that no token has."""
        numbers = [indices] if isinstance(indices, int) else indices
        for number in numbers:
            if not isinstance(number, int) or not 0 <= number < len(self):
                raise ValueError(f"Vocabulary.to_tokens: no token has that number; got {number!r}; use 0 to "
                                 f"{len(self) - 1}")
        found = [self._idx_to_token[number] for number in numbers]
        return found[0] if isinstance(indices, int) else found
