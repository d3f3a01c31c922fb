"""Fixed HTML of the page: header, drawers, the empty conversation, the foot, and the scripts that start its modules."""

from __future__ import annotations

from html import escape

from demo.page.capabilities import capabilities_html
from demo.page.example_gallery import gallery
from demo.page.page_assets import page_assets
from demo.page.theme import ASSETS, EMPTY, LEAD, TITLE

CLOSE = '<button type="button" class="quiet close" data-closes="{drawer}" aria-label="Close the {name}">&#10005;</button>'


def header_html() -> str:
    """Title, the buttons of the page, and the library's drawer. drawer.js opens drawers, clear.js asks before it deletes."""
    logo = (ASSETS / "logo.svg").read_text(encoding="utf-8")
    buttons = (
        '<button type="button" class="quiet" data-act="clear" hidden>Clear</button>'
        '<button type="button" class="quiet" data-opens="library">Library<span id="library-count"></span></button>'
        '<button type="button" class="quiet" data-opens="settings">Settings</button>'
    )
    return f'<header id="title">{logo}<h1>{TITLE}</h1><nav aria-label="This page">{buttons}</nav></header>{_library()}'


def _library() -> str:
    head = f'<div class="drawer-head"><h2>Library</h2>{CLOSE.format(drawer="library", name="library")}</div>'
    return f'<div id="library">{head}<div id="library-list"></div></div>'


def settings_head() -> str:
    return f'<div class="drawer-head"><h2>Settings</h2>{CLOSE.format(drawer="settings", name="settings")}</div>'


def log_html() -> str:
    """The conversation. Screen readers skip the growing text; announcements.js puts a finished answer into .announcement, once."""
    log = '<h2 class="sr">Conversation</h2><div class="log" role="log" aria-live="off" aria-label="Conversation"></div>'
    welcome = f'<div id="welcome"><p class="lead">{escape(LEAD)}</p><p>{escape(EMPTY)}</p></div>'
    return f'{log}<div class="announcement sr" role="status"></div>{welcome}'


def examples_html(notes: bool) -> str:
    """Examples, and what the model can play. notes: whether its decoder plays notes."""
    return f'{gallery()}<div id="capabilities">{capabilities_html(notes)}</div>'


def dock_html() -> str:
    """What stands above the input: a sentence about the connection, the messages that wait, and the player that goes on while one reads."""
    return '<p id="note" role="alert"></p><ul id="waiting" aria-label="Messages that wait"></ul><div id="player-bar"></div>'


def foot_html(model: str, device: str) -> str:
    facts = " &#183; ".join(escape(fact) for fact in (model, device))
    return f'<footer id="about"><span>{facts}</span><a href="docs">HTTP API</a></footer>'


def start_script() -> str:
    """JavaScript that gradio runs when the conversation is on the page; gradio provides `element`, `trigger`, `props` and `watch`.

    gradio looks in it for the names of the events that a handler may listen to, here 'reuse'.
    """
    return f"""
import(new URL('{page_assets().address("main.js")}', document.baseURI)).then(
  module => module.start({{element, props, watch, reuse: settings => trigger('reuse', settings)}}),
).catch(error => {{
  document.querySelector('#note').textContent = 'The page could not start; load it again.';
  throw error;
}});
"""


def call_script(module: str, call: str) -> str:
    """JavaScript function for a gradio event: calls a function of one of the page's modules with the inputs, `values`."""
    return f"async (...values) => (await import(new URL('{page_assets().address(module)}', document.baseURI))).{call}"
