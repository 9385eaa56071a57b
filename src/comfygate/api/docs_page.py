"""Writes the OpenAPI document as one HTML page that loads nothing: no script, no font, no other host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

CONTENT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:3rem;border-bottom:1px solid var(--line)}
h3{margin:2rem 0 .3rem;font-family:ui-monospace,monospace} summary{cursor:pointer;margin:.4rem 0}
.method{display:inline-block;min-width:4.5rem;font-weight:700} code,pre{font-family:ui-monospace,monospace}
pre{background:var(--soft);padding:.8rem;overflow:auto;border-radius:.4rem} nav a{display:block}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
"""


def docs_page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    body = "".join((*_operations(document), *_shapes(document)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"{_text(info.get('description', ''))}"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{_contents(document)}{body}'
        "</body></html>"
    )


def _each(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method, path, item[method]


def _contents(document: Mapping[str, Any]) -> str:
    links = (
        f'<a href="#{escape(op["operationId"])}"><code><span class="method">{method.upper()}</span>'
        f"{escape(path)}</code></a>"
        for method, path, op in _each(document)
    )
    return f"<nav>{''.join(links)}</nav><h2>Operations</h2>"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for method, path, op in _each(document):
        yield f'<section id="{escape(op["operationId"])}"><h3><span class="method">{method.upper()}</span>'
        yield f"{escape(path)}</h3>{_text(op.get('description', ''))}"
        yield _parameters(op.get("parameters", ()))
        for media, content in op.get("requestBody", {}).get("content", {}).items():
            yield f"<details><summary>Body: <code>{escape(media)}</code></summary>{_json(content['schema'])}"
            if "example" in content:
                yield f"<p>Example:</p>{_json(content['example'])}"
            yield "</details>"
        yield _answers(op.get("responses", {}))
        yield "</section>"


def _parameters(parameters: Any) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
        f"<td>{_text(p.get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table><tr><th>Parameter</th><th>In</th><th></th></tr>{rows}</table>" if rows else ""


def _answers(responses: Mapping[str, Any]) -> str:
    rows = []
    for status, answer in responses.items():
        names = sorted(
            {_name(content.get("schema", {})) for content in answer.get("content", {}).values()} - {""}
        )
        links = ", ".join(f'<a href="#shape-{escape(n)}">{escape(n)}</a>' for n in names)
        about = _text(answer.get("description", ""))
        rows.append(f"<tr><td>{escape(str(status))}</td><td>{about}</td><td>{links}</td></tr>")
    return f"<table><tr><th>Answer</th><th></th><th>Shape</th></tr>{''.join(rows)}</table>"


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _shapes(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Shapes</h2>"
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        about = _text(schema.get("description", ""))
        yield f'<section id="shape-{escape(name)}"><h3>{escape(name)}</h3>{about}{_json(schema)}</section>'


def _text(text: str) -> str:
    """Paragraphs, with `code` between backticks."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        pieces = escape(paragraph).split("`")
        paragraphs.append("".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(pieces)))
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs if paragraph)


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
