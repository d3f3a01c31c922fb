"""Who may enter: one reading of `--auth`, and of the headers that answer it, for the page and the API alike."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """A user and a password."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> Login:
        """From "user:password"; ValueError where one of them is missing."""
        user, colon, password = text.partition(":")
        if not colon or not user or not password:
            raise ValueError(f"--auth {user!r} has no user or no password; give user:password.")
        return cls(user, password)

    def admits(self, header: str) -> bool:
        """Whether an Authorization header, read as latin-1 as servers do, is theirs: Basic, as browsers send it, or Bearer
        "user:password", as clients of an API send their key."""
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
    """Of one length, so that a comparison tells nothing of it."""
    return hashlib.sha256(secret).digest()
