"""Who may join: both ends prove that they know the job's token, over nonces of this connection, and never send it.

    server: HELLO    nonce of 32 bytes
    client: JOIN     nonce of 32 bytes, HMAC-SHA256(token, "join" + both nonces + what it says of itself), that text
    server: WELCOME  HMAC-SHA256(token, "welcome" + both nonces + what it answers), that text

A listener without the token cannot answer for the server, and a recorded exchange is of no use on another connection.
"""
from __future__ import annotations

import hashlib
import hmac
import secrets

NONCE_BYTES = 32


def nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


def proof(token: str, purpose: str, *parts: bytes) -> bytes:
    """HMAC-SHA256 of the parts, each with its length, so that no two lists of parts have one text."""
    text = b"".join(len(part).to_bytes(4, "big") + part for part in (purpose.encode(), *parts))
    return hmac.new(token.encode(), text, hashlib.sha256).digest()


def proves(given: bytes, token: str, purpose: str, *parts: bytes) -> bool:
    """Whether `given` is that proof; takes as long for a wrong one as for a right one."""
    return hmac.compare_digest(given, proof(token, purpose, *parts))
