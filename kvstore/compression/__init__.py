"""Gradients in few bits, with what was left out added to the next gradient (error feedback).

``create({"type": "2bit", "threshold": 0.5})`` makes a codec; docs/compression.md has the wire formats.
"""
from .codec import Codec, create, decoded
from .half import Half
from .one_bit import OneBit
from .sign import Sign
from .top_k import TopK
from .two_bit import TwoBit

__all__ = ["Codec", "Half", "OneBit", "Sign", "TopK", "TwoBit", "create", "decoded"]
