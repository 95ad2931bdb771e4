"""One ES module, two hosts: a live kernel through anywidget, and a built page with no kernel at all."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from mixlearn.core.extras import need

_ASSETS = Path(__file__).parent / "assets"
_IMPORT = re.compile(r"^import .*? from \"\./([a-z_]+)\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)
_COUNT = itertools.count(1)


@cache
def bundle(name: str) -> str:
    """The module of a widget with all it needs inside: its style, the shared maths, the shared controls.

    Args:
        name: of the file in assets, without ".js".

    >>> "./kit.js" in bundle("lambda_mixer")
    False
    """
    parts = _parts(name)
    styles = [_ASSETS / f"{part}.css" for part in parts]
    css = "\n".join(style.read_text(encoding="utf-8") for style in styles if style.exists())
    css = re.sub(r"\s*\n\s*", " ", css)
    code = "\n".join(_IMPORT.sub("", _module(part)) for part in parts)
    return f"const CSS = {json.dumps(css)};\n" + _EXPORT.sub("", code)


def _module(name: str) -> str:
    return (_ASSETS / f"{name}.js").read_text(encoding="utf-8")


def _parts(name: str) -> list[str]:
    """The modules that a module needs, each once and after those it needs itself, and last the module."""
    needed = [part for found in _IMPORT.findall(_module(name)) for part in _parts(found)]
    return list(dict.fromkeys([*needed, name]))


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can close the element or open a comment.

    >>> script_json("</script><b>")
    '"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e"'
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def standalone(name: str, state: dict[str, Any], still: str, alt: str) -> str:
    """The widget as HTML that needs no kernel, no network and no other file.

    Args:
        name: of the widget's module.
        state: what its traits hold.
        still: a picture (data URL) shown where scripts do not run.
        alt: the picture in words.

    Two calls never give the same element id, so a page may show a widget twice.
    """
    element = f"mixlearn-{name.replace('_', '-')}-{next(_COUNT)}"
    host = (_ASSETS / "host.js").read_text(encoding="utf-8")
    filled = {
        "ID": script_json(element),
        "STATE": script_json(state),
        "MODULE": script_json(bundle(name)),
    }
    host = re.sub(r"\b(ID|STATE|MODULE)\b", lambda found: filled[found[0]], host)
    picture = (
        f'<img src="{html.escape(still)}" alt="{html.escape(alt)}" style="max-width:100%">' if still else ""
    )
    return (
        f'<div id="{element}" class="mixlearn-widget">{picture}'
        f"<noscript><p>{html.escape(alt)} (Scripts are off: a still picture.)</p></noscript></div>\n"
        f'<script type="module">\n{host}</script>'
    )


def picture_url(pixels: Any) -> str:
    """A lossless WebP as a data URL (a quarter smaller than PNG), from uint8 pixels (H, W, 3)."""
    image = need("PIL.Image", "a widget").fromarray(pixels)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=75, method=4, exact=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
