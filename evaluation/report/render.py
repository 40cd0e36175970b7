"""The report's document as one HTML file, and as Markdown."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from maskrt.errors import DependencyError
from maskrt.evaluation.report.document import Document

_TEMPLATES = Path(__file__).parent / "templates"


def to_html(document: Document) -> str:
    """Write one file with everything in it: it asks for nothing from anywhere, and forbids itself to; text is escaped.

    Raises:
        DependencyError: Jinja is not installed.
    """
    jinja2 = _jinja()
    environment = jinja2.Environment(autoescape=True, **_options(jinja2))
    environment.filters["prose"] = _prose
    environment.filters["breakable"] = _breakable
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    return _render(environment, "report.html", document, style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"))


def to_markdown(document: Document) -> str:
    """Write the same in Markdown, with the pictures and plots in words.

    Raises:
        DependencyError: Jinja is not installed.
    """
    jinja2 = _jinja()
    environment = jinja2.Environment(autoescape=False, finalize=_escape_markdown, **_options(jinja2))
    environment.filters["fenced"] = _Fenced
    return _render(environment, "report.md", document)


def _prose(text: Any) -> Any:
    """Write text as HTML in which `this` is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(str(text)))))


def _breakable(text: Any) -> Any:
    """Write text as HTML in which a long name, as of a tensor, may go on in the next line after a mark in it."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._/])", r"\1<wbr>", str(escape(str(text)))))


class _Fenced(str):
    """Text in a fenced block: it needs no escapes, but a fence longer than any in it."""

    def __new__(cls, text: str) -> _Fenced:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        return super().__new__(cls, f"{fence}\n{text}\n{fence}")


def _escape_markdown(value: Any) -> Any:
    if isinstance(value, _Fenced):
        return value
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(value).split()))


def _render(environment: Any, template: str, document: Document, **values: Any) -> str:
    environment.tests["a"] = lambda block, name: type(block).__name__ == name
    text = environment.get_template(template).render(document=document, **values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _options(jinja2: Any) -> dict[str, Any]:
    return {
        "loader": jinja2.FileSystemLoader(_TEMPLATES),
        "trim_blocks": True,
        "lstrip_blocks": True,
        "undefined": jinja2.StrictUndefined,
    }


def _jinja() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise DependencyError(f"The report needs {error.name}: `pip install maskrt[report]`.") from None
    return jinja2
