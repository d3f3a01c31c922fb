"""/docs: the API for people, as one HTML page made from its OpenAPI document. It loads nothing, from here or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

Json = dict[str, Any]
STYLE = (Path(__file__).parent / "docs_page.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parent / "docs_page.js").read_text(encoding="utf-8")
MAX_ENUM = 30  # values of a field that are listed


def docs_page(document: Json) -> str:
    """The page. Every text of the document is escaped: its address comes from a header of the request."""
    info, base = document["info"], document["servers"][0]["url"].rstrip("/")
    operations = [(path, method, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]
    links = "".join(f'<li><a href="#{_anchor(method, path)}">{_route(method, path)}</a></li>' for path, method, _ in operations)
    sections = "".join(_section(document, base, path, method, operation) for path, method, operation in operations)
    paragraphs = "".join(f"<p>{_text(text)}</p>" for text in info["description"].split("\n\n"))
    errors = {row[0]: row for _, _, operation in operations for row in _answers(operation, errors=True)}
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])} HTTP API</title>
<style>{STYLE}</style>
</head>
<body data-base="{escape(base)}">
<header>
<h1>{escape(info["title"])} HTTP API <small>{escape(info["version"])}</small></h1>
{paragraphs}
<p>The same for programs: <a href="openapi.json">openapi.json</a>. The page to play with: <a href="./">here</a>.</p>
</header>
<nav aria-label="Routes"><ul>{links}</ul></nav>
<main>{sections}
<section id="errors" aria-labelledby="errors-title">
<h2 id="errors-title">Errors</h2>
<p>Every error has the body <code>{{"error": {{"message", "type", "param", "code"}}}}</code>: one sentence, and the field at fault.</p>
{_table("Statuses of errors", "Statuses", [(status, "", meaning) for status, (_, _, meaning) in sorted(errors.items())])}
</section>
</main>
<p id="copied" role="status"></p>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _anchor(method: str, path: str) -> str:
    return escape("-".join([method, *(part.strip("{}") for part in path.split("/") if part)]))


def _route(method: str, path: str) -> str:
    return f"<code><b>{escape(method.upper())}</b> {escape(path)}</code>"


def _section(document: Json, base: str, path: str, method: str, operation: Json) -> str:
    anchor = _anchor(method, path)
    schema = _body_schema(document, operation)
    parts = [
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">',
        f'<h2 id="{anchor}-title">{escape(operation["summary"])}</h2><p>{_route(method, path)}</p>',
        f"<p>{_text(operation.get('description', ''))}</p>",
        _example(base, path, method, operation, bool(document.get("security"))),
        _table(f"Parameters of {method.upper()} {path}", "Parameters", [
            (item["name"], _kind(item["schema"]), item.get("description", "")) for item in operation.get("parameters", [])
        ]),
        _table(f"Fields of {method.upper()} {path}", "Fields of the request", list(_fields(document, schema))),
        _table(f"Answers of {method.upper()} {path}", "Answers", list(_answers(operation))),
        "</section>",
    ]  # fmt: skip
    return "\n".join(parts)


def _body_schema(document: Json, operation: Json) -> Json:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _resolved(document, content.get("schema", {}))


def _resolved(document: Json, schema: Json) -> Json:
    reference = schema.get("$ref", "")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def _fields(document: Json, schema: Json) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of the fields that do something here."""
    for name, field in schema.get("properties", {}).items():
        if field.keys() - {"default", "title"}:
            required = " (required)" if name in schema.get("required", ()) else ""
            yield name, _kind(field) + required, field.get("description", "")


def _answers(operation: Json, *, errors: bool = False) -> Iterator[tuple[str, str, str]]:
    """Status, content types and meaning of the answers of a route, or of its errors."""
    for status, answer in operation["responses"].items():
        if (status >= "400") == errors:
            yield status, ", ".join(answer.get("content", {})), answer["description"]


def _text(text: str) -> str:
    """A text whose parts in backticks are code."""
    return "".join(f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(text.split("`")))


def _kind(schema: Json) -> str:
    """The type of a value in words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(value if isinstance(value, str) else json.dumps(value) for value in schema["enum"][:MAX_ENUM])
    kinds = [_kind(choice) for choice in schema.get("anyOf", schema.get("oneOf", [])) if choice.get("type") != "null"]
    if kinds:
        return " or ".join(dict.fromkeys(kinds))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    limits = [str(schema[limit]) for limit in ("minimum", "maximum") if limit in schema]
    return f"{kind}, {' to '.join(limits)}" if len(limits) == 2 else kind


def _table(caption: str, title: str, rows: list[tuple[str, str, str]]) -> str:
    """A table whose first column is code; nothing without rows."""
    if not rows:
        return ""
    lines = "".join(f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(kind)}</td><td>{_text(meaning)}</td></tr>'
                    for name, kind, meaning in rows)  # fmt: skip
    region = f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
    return f"<h3>{title}</h3>{region}<table><tbody>{lines}</tbody></table></div>"


# -- examples ---------------------------------------------------------------------------------------------------------------


def _example(base: str, path: str, method: str, operation: Json, needs_login: bool) -> str:
    """A command of curl and a program in Python for the first example of a route."""
    examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
    body: Json | None = next((example["value"] for example in examples.values()), None)
    address = base + path.replace("{audio_id}", "audio_ID").replace("{form}", "wav").replace("{job_id}", "job-ID").replace("{name}", "nano")
    has_file = any(kind.startswith("audio/") for kind in operation["responses"].get("200", {}).get("content", {}))
    programs = {"curl": _curl, "Python": _python}
    route = f"{method.upper()} {path}"
    return "".join(_code(name, route, write(method, address, body, has_file, needs_login)) for name, write in programs.items())


def _curl(method: str, address: str, body: Json | None, has_file: bool, needs_login: bool) -> str:
    login = " -u user:password" if needs_login else ""
    output = " -OJ" if has_file else ""
    verb = f" -X {method.upper()}" if method not in ("get", "post") else ""
    if body is None:
        return f"curl{login}{output}{verb} {address}"
    data = json.dumps(body).replace("'", "'\\''")
    return f"curl{login}{output} {address} \\\n  -H 'Content-Type: application/json' \\\n  -d '{data}'"


def _python(method: str, address: str, body: Json | None, has_file: bool, needs_login: bool) -> str:
    arguments = [repr(address), *([f"json={body!r}"] if body is not None else []), *(['auth=("user", "password")'] if needs_login else [])]
    call = f"httpx.{method}({', '.join([*arguments, 'timeout=600'])})"
    show = 'open("piece.wav", "wb").write(answer.content)' if has_file else "print(answer.json())"
    return f"import httpx\n\nanswer = {call}\nanswer.raise_for_status()\n{show}"


def _code(label: str, route: str, text: str) -> str:
    name = escape(f"{label} example of {route}")
    button = f'<button type="button" data-copy>Copy<span class="hidden"> the {name}</span></button>'
    program = f'<pre tabindex="0" role="region" aria-label="{name}"><code>{escape(text)}</code></pre>'
    return f"<figure><figcaption>{label} {button}</figcaption>{program}</figure>"
