"""Strangers' text as HTML: escaped, with links to places that are safe to go to."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    import plotly.graph_objects as go

_ADDRESS = re.compile(r"\bhttps://[^\s<>\"'`)\]]*[\w/]|\barXiv:\d{4}\.\d{4,5}\b", re.IGNORECASE)
_CODE = re.compile(r"`([^`\n]+)`")


def documentation(text: str) -> Markup:
    """A docstring: paragraphs, indented blocks and doctests as they stand, `code`, and addresses as links."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text)) if text.strip() else []
    return Markup("\n").join(_block(block) for block in blocks)


def _block(block: str) -> Markup:
    if block.startswith((" ", ">>>")):
        return Markup('<pre tabindex="0">{}</pre>').format(inspect.cleandoc(block))
    return Markup("<p>{}</p>").format(inline(block))


def inline(text: str) -> Markup:
    """One line or paragraph with its addresses and `code`."""
    parts, end = [], 0
    for match in re.finditer(f"{_CODE.pattern}|{_ADDRESS.pattern}", text, re.IGNORECASE):
        parts += [escape(text[end : match.start()]), _marked(match)]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def _marked(match: re.Match[str]) -> Markup:
    if match[1]:
        return Markup("<code>{}</code>").format(match[1])
    return Markup('<a href="{}" rel="nofollow noreferrer">{}</a>').format(address(match[0]), match[0])


def first_address(text: str) -> str:
    """The first paper or page that a docstring names; "" if there is none."""
    match = _ADDRESS.search(text)
    return address(match[0]) if match else ""


def address(text: str) -> str:
    """Where `https://...` or `arXiv:...` leads.

    >>> address("arXiv:2302.09880")
    'https://arxiv.org/abs/2302.09880'
    """
    return f"https://arxiv.org/abs/{text[6:]}" if text.lower().startswith("arxiv:") else text


def slug(text: str, identity: str) -> str:
    """A file name that says what it is and that no two identities share, whatever the text holds.

    >>> slug("../Scrub <script>", "one")
    'scrub-script-7692c3ad35'
    """
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()[:60]).strip("-")
    return f"{words}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}".lstrip("-")


def figure_json(figure: go.Figure) -> Markup:
    """A Plotly figure as JSON that can stand in a page."""
    return script_json(json.loads(figure.to_json(engine="json")))


def script_json(content: Any) -> Markup:
    """JSON that cannot end the script element it stands in, and is a JavaScript expression."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704 - `<` is escaped
