"""Parameters as text of a script: what is put in comes out, in fewer characters than base64."""
import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.codegen import web_text
from mxdl.codegen.web_text import ALPHABET, deflated, number_width, script_literal, text


def untext(letters: str, count: int) -> bytes:
    """The bytes that `text` made letters of, by the documented rule, one bit after the other."""
    digit = {letter: i for i, letter in enumerate(ALPHABET)}
    pairs = zip(letters[::2], letters[1::2], strict=True)
    bits = "".join(f"{digit[a] * 91 + digit[b]:013b}" for a, b in pairs)
    return int(bits[:8 * count] or "0", 2).to_bytes(count, "big")


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=60))
def test_text_is_undone_and_short(data):
    letters = text(data)
    assert untext(letters, len(data)) == data
    assert len(letters) == 2 * -(-8 * len(data) // 13)
    assert set(letters) <= set(ALPHABET)


def test_the_alphabet_harms_no_string_and_no_page():
    assert len(ALPHABET) == len(set(ALPHABET)) == 91 and not set(ALPHABET) & set('"\\<\r\n \0')


@pytest.mark.parametrize("dtype, width", [("<f4", 4), ("<f2", 2), ("i1", 1)])
def test_numbers_are_parted_into_planes_by_their_width(dtype, width):
    values = np.random.default_rng(0).normal(size=2**15)
    data = (values * 40 if dtype == "i1" else values).astype(dtype).tobytes()
    assert number_width(data) == width
    planes = np.frombuffer(zlib.decompress(deflated(data, width)), np.uint8).reshape(width, -1)
    assert planes.T.tobytes() == data
    assert len(deflated(data, width)) < (.96 if width > 1 else 1) * len(zlib.compress(data))


def test_small_parameters_and_noise_are_not_deflated(monkeypatch):
    noise = np.random.default_rng(0).bytes(2**12)
    assert "width: 0" in script_literal(noise[:64])
    monkeypatch.setattr(web_text, "FEWEST_DEFLATED", 0)
    assert "width: 0" in script_literal(noise) and "width: 4" in script_literal(np.ones(64, "<f4").tobytes())


def test_a_literal_is_pieces_of_whole_bytes(monkeypatch):
    monkeypatch.setattr(web_text, "PIECE", 26)
    data = np.random.default_rng(1).bytes(64)
    found = script_literal(data)
    pieces = json.loads(re.search(r"pieces: (\[.*\])\}", found, re.DOTALL)[1])
    assert [len(p) for p in pieces] == [32, 32, 16]
    assert b"".join(untext(p, n) for p, n in zip(pieces, (26, 26, 12), strict=True)) == data
