"""Who may use our own routes beside the page: whoever may use the page.

gradio checks its own routes only, so each of ours asks here. Browsers bring the cookie that gradio gave them; programs
bring user and password, as Basic or, where a client knows nothing but a key, as `Bearer user:password`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import inspect
from typing import Any

from fastapi import HTTPException, Request


async def signed_in(request: Request) -> str | None:
    """Dependency of a route in gradio's app: the name of the user, None where the page is open to all.

    Raises HTTPException 401 where the page has a password and this request does not bring it.
    """
    app: Any = request.app
    if app.auth is None:
        return None
    cookies = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")  # gradio's names
    user = next((app.tokens[request.cookies[name]] for name in cookies if request.cookies.get(name) in app.tokens), None)
    name, password = _credentials(request.headers.get("authorization", ""))
    if user is None and not await _known(app.auth, name, password):
        raise HTTPException(401, "This server asks for a name and a password; sign in, or send them with the request.")
    return user or name


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
    elif scheme.lower() != "bearer":
        return "", ""
    name, _, password = value.strip().partition(":")
    return name, password


async def _known(auth: Any, name: str, password: str) -> bool:
    """As gradio's own sign-in has it: a table, or a function that may be asynchronous."""
    if callable(auth):
        answer = auth(name, password)
        return bool(await answer if inspect.isawaitable(answer) else answer)
    return name in auth and hmac.compare_digest(auth[name].encode(), password.encode())
