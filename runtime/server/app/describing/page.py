"""The OpenAPI description as one plain page: no script, no style, nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_METHODS: Final = ("get", "post", "delete")


def docs_page(description: Mapping[str, Any]) -> str:
    """Write the page."""
    info = description["info"]
    title = escape(f"{info['title']} {info['version']}")
    operations = "\n".join(
        part
        for path, item in description["paths"].items()
        for method in _METHODS
        if method in item
        for part in _operation(path, method, item)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><main><h1>{title}</h1>\n<p>{escape(info['description'])} "
        f'The same for programs: <a href="/openapi.json">openapi.json</a>.</p>\n'
        f"{operations}\n</main></body></html>\n"
    )


def _operation(path: str, method: str, item: Mapping[str, Any]) -> Iterator[str]:
    operation = item[method]
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation['summary'])}</p>"
    parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
    if parameters:
        yield _table(
            ("parameter", "in", "meaning"),
            [(one["name"], one["in"], one.get("description", "")) for one in parameters],
        )
    if "requestBody" in operation:
        yield f"<p>Body: {_kinds(operation['requestBody']['content'])}</p>"
    answers = operation["responses"].items()
    yield _table(
        ("status", "meaning", "body"),
        [(code, one["description"], _plain_kinds(one.get("content", {}))) for code, one in answers],
    )


def _kinds(content: Mapping[str, Any]) -> str:
    return ", ".join(f"<code>{escape(kind)}</code>" for kind in content)


def _plain_kinds(content: Mapping[str, Any]) -> str:
    return ", ".join(content)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
