"""What a widget is in Python: an ipywidget where anywidget is installed, HTML alone where it is not."""

from __future__ import annotations

from functools import cache
from typing import Any

from mixlearn.page.host import bundle, standalone
from mixlearn.page.widget_box import as_box, box_for, box_of, share_of, sides_of
from mixlearn.page.widget_traits import FIXED, FOLLOWS, got, problem


class StandaloneWidget:
    """A widget where anywidget is not installed: HTML alone, with the same traits as plain attributes."""

    def __init__(self, name: str, state: dict[str, Any], still: str, alt: str) -> None:
        self.__dict__.update(state)
        self.__dict__.update(_name=name, _keys=tuple(state), _still=still, alt=alt)

    def html(self) -> str:
        """The widget as it stands, as HTML that needs no kernel and no network."""
        return standalone(self._name, {key: getattr(self, key) for key in self._keys}, self._still, self.alt)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}

    def __setattr__(self, name: str, value: Any) -> None:
        boxed = name in ("box", "lam") and "canvas_width" in self._keys  # the box lab's
        if (name in self._keys or boxed) and (
            wrong := _set_problem(self, name) or problem(self, name, value)
        ):
            raise ValueError(f"{name} must {wrong}, got {got(name, value)}")
        if boxed:
            size = self.canvas_height, self.canvas_width
            box = as_box(value) if name == "box" else box_for(value, box_of(self), *size)
            self.__dict__.update(sides_of(box or box_of(self)))
        else:
            self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in ("box", "lam") and "canvas_width" in self.__dict__:
            box = box_of(self)
            return box if name == "box" else share_of(box, self.canvas_height, self.canvas_width)
        if name in ("observe", "unobserve", "set_state", "send", "comm"):
            raise AttributeError(f'{name} needs a live widget, so anywidget: pip install "mixlearn[lab]"')
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def widget(name: str, state: dict[str, Any], still: str, alt: str) -> Any:
    """A widget of a kernel and a page where anywidget is installed, else of the page alone.

    Args:
        name: of its module in assets.
        state: its traits, and what they hold.
        still: a picture (data URL) shown where scripts do not run.
        alt: the picture in words.
    """
    try:
        live = live_class(name, tuple(state))
    except ImportError:
        return StandaloneWidget(name, state, still, alt)
    found = live(**state)
    found._name, found._keys, found._still, found.alt = name, tuple(state), still, alt
    return found


def _set_problem(widget: Any, name: str) -> str | None:
    """Why a trait must not be set from Python at all."""
    if name in FIXED:
        return "not change once the widget is made"
    source = FOLLOWS.get(widget._name, {}).get(name)
    return None if source is None else f"not be set: it follows {source}"


@cache
def live_class(name: str, keys: tuple[str, ...]) -> Any:
    """The ipywidget of a module: one synced trait for each value of its state."""
    import anywidget
    import traitlets

    words = ("pair", "mask", "net", "film", "own_name", "partner_name", "selected", "measured_on")
    lists = ("photos", "pairs", "methods", "shares", "classes", "epochs", "effects", "order")
    floats = ("lam", "target", "score", "block_score", "block_mean", "alpha", "other")
    whole = (
        *("x", "y", "width", "height", "canvas_height", "canvas_width", "size", "seed", "epoch"),
        *("batch", "parts", "patch", "step", "mixture", "place"),
    )
    kinds: dict[str, Any] = {
        **dict.fromkeys(words, traitlets.Unicode),
        **dict.fromkeys(lists, traitlets.List),
        **dict.fromkeys(floats, traitlets.CFloat),  # NumPy's numbers and 0-d tensors too
        **dict.fromkeys(whole, traitlets.Int),
        "arrows": traitlets.Dict,
    }  # all others are on or off

    class Live(anywidget.AnyWidget):
        """A widget that a kernel and a page share."""

        _esm = bundle(name)
        _name, _from_page = "", False  # it has no name while it is made
        html = StandaloneWidget.html

        def set_state(self, sync_data: dict[str, Any]) -> None:
            self._from_page = True
            try:
                super().set_state(sync_data)
            finally:
                self._from_page = False

        @traitlets.validate(*keys)
        def _is_right(self, proposal: Any) -> Any:
            trait, value = proposal["trait"].name, proposal["value"]
            wrong = _set_problem(self, trait) if self._name and not self._from_page else None
            wrong = wrong or problem(self, trait, value)
            if wrong:
                raise traitlets.TraitError(f"{trait} must {wrong}, got {got(trait, value)}")
            return value

        def _repr_mimebundle_(self, **options: Any) -> Any:
            found = super()._repr_mimebundle_(**options)
            data, metadata = found if isinstance(found, tuple) else (found or {}, {})
            return {**data, "text/html": self.html(), "text/plain": self.alt}, metadata

    class Boxed(Live):
        """The live box lab: the page knows `x`, `y`, `width` and `height`, the kernel `box` and `lam` too."""

        lam = traitlets.CFloat()
        box = traitlets.Any()

        @traitlets.observe("x", "y", "width", "height", "canvas_height", "canvas_width")
        def _tell(self, _: Any) -> None:
            self.box = box_of(self)
            self.lam = share_of(self.box, self.canvas_height, self.canvas_width)

        @traitlets.observe("box")
        def _place(self, _: Any) -> None:
            with self.hold_sync(), self.hold_trait_notifications():
                for side, value in sides_of(self.box).items():
                    setattr(self, side, value)

        @traitlets.validate("box", "lam")
        def _can_be_drawn(self, proposal: Any) -> Any:
            trait, value = proposal["trait"].name, proposal["value"]
            if wrong := problem(self, trait, value):
                raise traitlets.TraitError(f"{trait} must {wrong}, got {got(trait, value)}")
            if trait == "box":
                return as_box(value)
            size = self.canvas_height, self.canvas_width
            if value != share_of(box_of(self), *size):  # asked for here, not told by the page
                self.box = box_for(value, box_of(self), *size)
            return share_of(box_of(self), *size)

    base = Boxed if name == "box_lab" else Live
    return type(name, (base,), {key: kinds.get(key, traitlets.Bool)().tag(sync=True) for key in keys})
