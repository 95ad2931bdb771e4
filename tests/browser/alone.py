"""Widgets on a page of their own, without the book: with and without a kernel behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixlearn.page.host import bundle

OpenPage = Callable[..., Any]
EVIL = "</script><img src=x onerror=\"document.title='hacked'\">"

# what a kernel's model does, as far as a widget needs it; `sent` keeps what it would be sent, small
KERNEL = """async ([code, state]) => {
    const heard = {};
    const small = value => (typeof value === "string" ? value : JSON.stringify(value)).length < 4000;
    window.sent = [];
    window.model = {
        get: key => state[key], on: (event, f) => (heard[event] ||= []).push(f),
        set: (key, value) => { if (state[key] !== value) { state[key] = value;
            (heard[`change:${key}`] || []).forEach(f => f()); } },
        save_changes: () => sent.push(Object.fromEntries(Object.entries(state).filter(([, v]) => small(v)))),
    };
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const el = document.querySelector("main").appendChild(document.createElement("div"));
    el.id = "mixlearn-kernel";
    await (await import(url)).default.render({ model, el });
}"""


def bare(tmp_path: Path, *widgets: Any, theme: str = "light", head: str = "") -> Path:
    """A page that holds these widgets and nothing else."""
    body = "\n".join(widget.html() for widget in widgets)
    place = tmp_path / "page.html"
    place.write_text(
        f'<!doctype html><html data-theme="{theme}"><head><meta charset="utf-8"><title>bare</title>{head}'
        f'<meta name="viewport" content="width=device-width"></head><body><main>{body}</main></body></html>',
        encoding="utf-8",
    )
    return place


def with_kernel(page: Any, kind: str, widget: Any) -> None:
    """Draw the module of a widget into a page with a model that notes what it is sent."""
    page.evaluate(KERNEL, [bundle(kind), {key: getattr(widget, key) for key in widget._keys}])
