"""HTTP request of the running gradio event: which caller and which client address it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.service.caller import caller_key

if TYPE_CHECKING:
    import gradio as gr


def event_caller() -> str:
    """Key of the caller, as in the API; empty outside of an event.

    Programs get a new session with each call, so their requests cannot be counted by session.
    """
    request = _event_request()
    return caller_key(request.headers.get("authorization", ""), event_client_address()) if request is not None else ""


def event_client_address() -> str:
    """IP address that the event comes from; empty outside of an event or if unknown."""
    request = _event_request()
    return request.client.host if request is not None and request.client is not None else ""


def _event_request() -> gr.Request | None:
    from gradio.context import LocalContext

    return LocalContext.request.get(None)
