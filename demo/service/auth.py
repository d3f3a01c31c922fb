"""Login with user and password: parses `--auth` and checks Authorization headers, for the page and the API alike."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """User and password."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> Login:
        """Parses "user:password". Raises ValueError if one of them is missing."""
        user, colon, password = text.partition(":")
        if not colon or not user or not password:
            raise ValueError(f"--auth {user!r} has no user or no password; give user:password.")
        return cls(user, password)

    def admits(self, header: str) -> bool:
        """Whether an Authorization header, decoded as latin-1 as servers do, has this login: Basic, as browsers send it, or
        Bearer "user:password", as API clients send their key."""
        return hmac.compare_digest(_digest(f"{self.user}:{self.password}".encode()), _digest(_credentials(header)))


def _credentials(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")
    try:
        return base64.b64decode(value.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""


def _digest(secret: bytes) -> bytes:
    """Digest of fixed length, so that the comparison's time does not reveal the secret's length."""
    return hashlib.sha256(secret).digest()
