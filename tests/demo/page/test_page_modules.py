"""The page's modules as text: they are small, they fit together, and nothing untrusted or foreign gets in through them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "demo/page/js").glob("*.js"))}
STYLES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "demo/page/css").glob("*.css"))}
IMPORT = re.compile(r"^import (?:\{([^}]*)\} from )?'([^']+)';", re.MULTILINE)
MAX_LINES = 300
PARSES_HTML = {"patch.js"}  # of the server's, which has escaped it


def imports(text: str) -> Iterator[tuple[str, list[str]]]:
    """(path, names) of each import."""
    for names, path in IMPORT.findall(text):
        yield path, [name.split(" as ")[0].strip() for name in names.split(",") if name.strip()]


def unmet(modules: dict[str, str]) -> list[str]:
    """Imports of what the other module does not export, or of a module that is not there."""
    faults = []
    for module, text in modules.items():
        for path, names in imports(text):
            source = modules.get(path.removeprefix("./"), "")
            exported = set(re.findall(r"^export (?:async )?(?:function\*?|class|const|let) (\w+)", source, re.MULTILINE))
            faults += [f"{module}: {name} from {path}" for name in names if name not in exported]
            if not source or not path.startswith("./"):
                faults.append(f"{module}: {path}")
    return faults


def test_every_import_is_met() -> None:
    assert unmet(MODULES) == []
    reached, waiting = set(), ["main.js"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [path.removeprefix("./") for path, _ in imports(MODULES[name])]
    called_by_gradio = {"outbox.js"}
    assert set(MODULES) - reached <= called_by_gradio, "a module that nothing uses"


def test_an_unmet_import_is_found() -> None:
    assert unmet({"a.js": "import {b, c as d} from './b.js';\nimport './e.js';", "b.js": "export function b() {}"}) == [
        "a.js: c from ./b.js", "a.js: ./e.js"
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*MODULES, *STYLES])
def test_a_file_is_small_and_says_what_it_is(name: str) -> None:
    text = {**MODULES, **STYLES}[name]
    assert len(text.splitlines()) <= MAX_LINES
    assert text.startswith(("// ", "/* ")), "a comment at its head"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_parses_no_html_and_asks_no_other_server(name: str) -> None:
    text = MODULES[name]
    assert name in PARSES_HTML or not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


@pytest.mark.parametrize("name", STYLES)
def test_a_style_loads_nothing(name: str) -> None:
    assert not re.search(r"@import|url\((?!['\"]?data:)", STYLES[name])
