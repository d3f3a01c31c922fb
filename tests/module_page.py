"""An empty page for tests of the page's modules: served to the browser from this process, without a server and without gradio.

PYTEST_DONT_REWRITE: test files import this by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE_FOLDER = Path(__file__).resolve().parent.parent / "demo/page"
ORIGIN = "http://modules.test/"
COLOURS = """
:root { --body-text-color: #1f2937; --body-text-color-subdued: #4b5563; --border-color-primary: #d1d5db; --background-fill-primary: #fff;
        --background-fill-secondary: #f3f4f6; --color-accent: #4f46e5; --button-primary-background-fill: #4f46e5;
        --button-primary-text-color: #fff; --block-background-fill: #fff; --link-text-color: #4338ca; --error-text-color: #b91c1c; }
.dark { --body-text-color: #f3f4f6; --body-text-color-subdued: #9ca3af; --border-color-primary: #374151; color-scheme: dark;
        --background-fill-primary: #0b1120; --background-fill-secondary: #1f2937; --color-accent: #818cf8;
        --button-primary-background-fill: #6366f1; --button-primary-text-color: #fff; --link-text-color: #a5b4fc;
        --block-background-fill: #111827; --error-text-color: #fca5a5; }
body { margin: 16px; font: 16px system-ui, sans-serif; background: var(--background-fill-primary); color: var(--body-text-color); }
"""  # gradio's variables, as its theme sets them
Answer = Callable[[str, str], tuple[int, str, bytes]]  # (method, path) -> (status, content type, body)


def open_modules(browser: Any, *, css: tuple[str, ...] = (), body: str = '<main id="host"></main>', answer: Answer | None = None,
                 **context: Any) -> Any:
    """A page with these style sheets, whose `import('/x.js')` gives demo/page/js/x.js; other paths are answered by `answer`."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(10_000)
    style = COLOURS + "\n".join((PAGE_FOLDER / "css" / name).read_text(encoding="utf-8") for name in css)
    html = f'<!doctype html><html lang="en"><head><title>Modules</title><style>{style}</style></head><body>{body}</body></html>'

    def respond(route: Any) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        file = PAGE_FOLDER / "js" / path
        if path == "":
            route.fulfill(content_type="text/html", body=html)
        elif file.suffix == ".js" and file.is_file():
            route.fulfill(content_type="text/javascript", body=file.read_bytes())
        else:
            status, kind, content = answer(route.request.method, path) if answer else (404, "text/plain", b"")
            route.fulfill(status=status, content_type=kind, body=content)

    page.route(f"{ORIGIN}**", respond)
    page.goto(ORIGIN)
    return page
