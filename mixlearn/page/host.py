"""One ES module, two hosts: a live kernel through anywidget, and a built page with no kernel at all."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need

ASSETS = Path(__file__).parent / "assets"
PHOTOS = ("dog", "cat", "owl", "kingfisher", "panda", "koala")
_IMPORT = re.compile(r"^import [^;]*? from \"\./([a-z_]+)\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)[ \t]*\n", re.M | re.S)  # on lines of its own
_COUNT = itertools.count(1)


@cache
def bundle(name: str) -> str:
    """The module of a widget with all it needs inside: its style, the shared maths, the shared controls.

    >>> "./kit.js" in bundle("lambda_mixer")
    False
    """
    parts = _parts(name)
    styles = [ASSETS / f"{part}.css" for part in parts]
    css = "\n".join(style.read_text(encoding="utf-8") for style in styles if style.exists())
    css = re.sub(r"\s*\n\s*", " ", css)
    code = "\n".join(_IMPORT.sub("", _module(part)) for part in parts)
    return f"const CSS = {json.dumps(css)};\n" + _COMMENT.sub("", _EXPORT.sub("", code))


def _module(name: str) -> str:
    return (ASSETS / f"{name}.js").read_text(encoding="utf-8")


def _parts(name: str) -> list[str]:
    """The modules that a module needs, each once and after those it needs itself, and last the module."""
    needed = [part for direct in _IMPORT.findall(_module(name)) for part in _parts(direct)]
    return list(dict.fromkeys([*needed, name]))


def script_json(value: Any) -> str:
    """JSON that is safe inside a script element: no text in it can close the element or open a comment.

    >>> script_json("</script><b>")
    '"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e"'
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def standalone(name: str, state: dict[str, Any], still: str, alt: str) -> str:
    """The widget as HTML that needs no kernel, no network and no other file; each call has its own id."""
    element = f"mixlearn-{name.replace('_', '-')}-{next(_COUNT)}"
    filled = {"ID": element, "STATE": state, "MODULE": bundle(name)}
    host = re.sub(r"\b(ID|STATE|MODULE)\b", lambda slot: script_json(filled[slot[0]]), _module("host"))
    words = html.escape(alt)
    picture = f'<img src="{html.escape(still)}" alt="{words}" style="max-width:100%">' if still else ""
    return (
        f'<div id="{element}" class="mixlearn-widget">{picture}'
        f"<noscript><p>{words} (Scripts are off: a still picture.)</p></noscript></div>\n"
        f'<script type="module">\n{host}</script>'
    )


def picture_url(values: Tensor) -> str:
    """Bytes (3, H, W), or floats in [0, 1], as a data URL: a lossless WebP, a quarter smaller than PNG."""
    if values.is_floating_point():
        values = (values.clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = array(values.movedim(0, -1).contiguous(), "a widget")  # (H, W, 3)
    file = io.BytesIO()
    image = need("PIL.Image", "a widget").fromarray(pixels)
    image.save(file, "WEBP", lossless=True, quality=75, method=4, exact=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def photographs(
    images: Tensor | None, names: Sequence[str] | None, needed: Sequence[str], size: int
) -> tuple[Tensor, list[str]]:
    """Square images (N, 3, S, S) in [0, 1] and their names, as given or those shipped.

    >>> photographs(torch.rand(2, 3, 4, 4), None, (), 4)[1]
    ['image 0', 'image 1']
    """
    if images is None:
        from mixlearn.data import photos

        shipped = photos(size=size).pick(*(names or PHOTOS))
        images, names = shipped.images, shipped.names
    if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must have shape (N, 3, S, S), got {tuple(images.shape)}")
    names = [f"image {i}" for i in range(len(images))] if names is None else [str(name) for name in names]
    if len(names) != len(images):
        raise ValueError(f"names must hold one name for each of {len(images)} images, got {len(names)}")
    for name in needed:
        if name not in names:
            raise ValueError(f"pair must name two of {', '.join(names)}, got {name!r}")
    return images, names


def picture_urls(images: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
    """Names and data URLs of the photographs."""
    return [{"name": name, "url": picture_url(image)} for name, image in zip(names, images, strict=True)]
