"""The page's connection to its session: what the server refuses is said on the page."""

from __future__ import annotations

from typing import Any

from tests.module_page import open_modules

pytest_plugins = ("tests.browser_helpers",)

FULL = b'{"error": "This conversation is open in 16 pages already; close one of them."}'


def answer(method: str, path: str) -> tuple[int, str, bytes]:
    return (429, "application/json", FULL) if "/events?" in path or "/state?" in path else (204, "", b"")


def test_a_page_too_many_says_so(browser: Any) -> None:
    page = open_modules(browser, answer=answer)
    page.evaluate("""async () => {
        const {connection} = await import('/connection.js');
        connection.addEventListener('trouble', ({detail}) => { window.told = detail; });
        connection.follow('token');
    }""")
    page.wait_for_function("window.told?.startsWith('This conversation is open in 16 pages already')")
    page.context.close()
