"""Word vectors from text files, by token."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...errors import NotBuiltError
from ...ndarray import NDArray, array, zeros
from .vocab import Vocabulary


class _Vectors(Vocabulary):
    """A vocabulary in which every token has a vector, the row of its number.   vectors: float32[tokens, length]"""

    def __init__(self, tokens: Sequence[str], vectors: np.ndarray, like: Vocabulary | None, unknown_token: str):
        super().__init__(unknown_token=unknown_token if like is None else like.unknown_token,
                         reserved_tokens=None if like is None else like.reserved_tokens)
        self._idx_to_token = list(tokens)
        self._token_to_idx = {token: i for i, token in enumerate(tokens)}
        self._idx_to_vec = array(vectors)

    @property
    def vec_len(self) -> int:
        return self._idx_to_vec.shape[1]

    @property
    def idx_to_vec(self) -> NDArray:
        return self._idx_to_vec

    def get_vecs_by_tokens(self, tokens: str | Sequence[str], lower_case_backup: bool = False) -> NDArray:
        """The vector of a token, or a row for each in a list; the unknown token's for the others.

        lower_case_backup: a token that is not there is looked up in lower case too.
        """
        def number(token: str) -> int:
            lower = token.lower() if lower_case_backup else token
            return self._token_to_idx.get(token, self._token_to_idx.get(lower, 0))
        if isinstance(tokens, str):
            return self._idx_to_vec[number(tokens)].copy()
        return self._idx_to_vec[array([number(token) for token in tokens], dtype="int32")]

    def update_token_vectors(self, tokens: str | Sequence[str], new_vectors: NDArray) -> None:
        """Set the vectors of tokens.  Raises ValueError for unknown tokens, AssertionError for another shape."""
        names = [tokens] if isinstance(tokens, str) else list(tokens)
        unknown = [token for token in names if token not in self._token_to_idx]
        if unknown:
            raise ValueError(f"update_token_vectors: tokens that have no vector here; got {', '.join(unknown)}; "
                             f"the unknown token is {self.unknown_token!r}")
        rows = new_vectors.reshape((1, -1)) if new_vectors.ndim == 1 else new_vectors
        if rows.shape != (len(names), self.vec_len):
            raise AssertionError(f"update_token_vectors: a vector a token; got {new_vectors.shape} for {len(names)} "
                                 f"tokens; give {(len(names), self.vec_len)}")
        for name, row in zip(names, rows, strict=True):
            self._idx_to_vec[self._token_to_idx[name]] = row


class CustomEmbedding(_Vectors):
    """Vectors of a text file: a token and its numbers a line, between `elem_delim`.  A token that stands twice keeps
    its first vector; a first line of two numbers (how many, how long) is passed over.

    init_unknown_vec: makes the unknown token's vector from a shape, where the file has none.
    vocabulary: only its tokens, by its numbers.
    """

    def __init__(self, pretrained_file_path: str, elem_delim: str = " ", encoding: str = "utf8",
                 init_unknown_vec: Callable[..., NDArray] = zeros, vocabulary: Vocabulary | None = None,
                 unknown_token: str = "<unk>"):
        read = _read(pretrained_file_path, elem_delim, encoding)
        length = len(next(iter(read.values())))
        given = read.pop(unknown_token, None)
        unknown = init_unknown_vec(shape=length).asnumpy() if given is None else given
        tokens = [unknown_token, *read] if vocabulary is None else vocabulary.idx_to_token
        vectors = np.stack([np.asarray(read.get(token, unknown), np.float32) for token in tokens])
        super().__init__(tokens, vectors, vocabulary, unknown_token)


class CompositeEmbedding(_Vectors):
    """For the tokens of `vocabulary`, their vectors in each of `token_embeddings`, end to end."""

    def __init__(self, vocabulary: Vocabulary, token_embeddings: Any):
        parts = token_embeddings if isinstance(token_embeddings, (list, tuple)) else [token_embeddings]
        vectors = np.concatenate([p.get_vecs_by_tokens(vocabulary.idx_to_token).asnumpy() for p in parts], axis=1)
        super().__init__(vocabulary.idx_to_token, vectors, vocabulary, vocabulary.unknown_token)


def _read(path: str, delimiter: str, encoding: str) -> dict[str, list[float]]:
    """Token -> numbers.  Raises ValueError for a file without any, or with vectors of several lengths."""
    found: dict[str, list[float]] = {}
    length = 0
    lines = Path(path).read_text(encoding=encoding).split("\n")
    for number, line in enumerate(lines, 1):
        token, *rest = line.rstrip().split(delimiter)
        if not rest or (number == 1 and len(rest) == 1):
            continue
        if token in found:
            warnings.warn(f"{path}:{number}: token {token!r} stands in the file before; its first vector is kept",
                          stacklevel=3)
            continue
        if length and len(rest) != length:
            raise ValueError(f"{path}:{number}: the vector of {token!r} has another length than those before; got "
                             f"{len(rest)}, need {length}")
        length = len(rest)
        found[token] = [float(x) for x in rest]
    if not found:
        raise ValueError(f"{path}: holds no vectors; each line is a token and its numbers, between {delimiter!r}")
    return found


def _refuse(name: str) -> NoReturn:
    raise NotBuiltError(f"contrib.text.embedding.{name}: nothing is downloaded; get the file of vectors yourself and "
                        f"read it with CustomEmbedding(path)")


def create(embedding_name: str, **kwargs: Any) -> NoReturn:
    """Not built: raises NotBuiltError."""
    _refuse("create")


def get_pretrained_file_names(embedding_name: str | None = None) -> NoReturn:
    """Not built: raises NotBuiltError."""
    _refuse("get_pretrained_file_names")
