"""Identity of a caller: the key under which its concurrent requests are counted and its audio is stored."""

from __future__ import annotations

import hashlib


def caller_key(authorization: str, client_address: str, user: str = "") -> str:
    """Hash that identifies a caller.

    authorization: its Authorization header; client_address: its IP address, the only part that it cannot choose; user: the
    name that an API client gives for its user.
    """
    parts = (authorization, client_address, user)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
