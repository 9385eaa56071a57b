"""The reference as a page, made from the OpenAPI document here: it loads nothing from any other host."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code{font-size:.95em}"
    "section{border-top:1px solid #8884;padding:.5rem 0}"
    ".m{font-weight:700;display:inline-block;min-width:4.5rem}"
    "table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}"
)


def reference_page(document: dict[str, Any], openapi_path: str) -> str:
    """The whole reference as one HTML page without scripts."""
    title = escape(document["info"]["title"])
    sections = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(document['info'].get('description', ''))}</p>"
        f'<p>Machine-readable: <a href="{escape(openapi_path)}">OpenAPI</a></p>'
        f"{''.join(sections)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
        f"<td>{escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", [])
    )
    statuses = ", ".join(
        f"{escape(status)} {escape(answer.get('description', ''))}"
        for status, answer in operation.get("responses", {}).items()
    )
    name, summary, description = (
        escape(operation.get(key, "")) for key in ("operationId", "summary", "description")
    )
    return (
        f'<section id="{name}"><h2><span class="m">{escape(method.upper())}</span>'
        f" <code>{escape(path)}</code></h2><p><b>{summary}.</b> {description}</p>"
        f"<table>{parameters}</table><p>{statuses}</p></section>"
    )
