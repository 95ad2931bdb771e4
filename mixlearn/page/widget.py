"""What a widget is in Python: an ipywidget where anywidget is installed, HTML alone where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mixlearn.page.host import bundle, standalone

Rule = Callable[[Any, Any], "str | None"]  # of a widget and a value: what it must do, None where it does
FIXED = {
    *("photos", "pairs", "methods", "shares", "classes", "epochs", "shipped", "size", "net", "film"),
    *("arrows", "effects", "measured_on", "predictions"),
}


def within(low: float, high: float) -> Rule:
    """Between two numbers, both included; NaN is not.

    >>> within(0, 1)(None, 1.5), within(0, 1)(None, 0.5), within(0, 1)(None, float("nan"))
    ('lie in [0, 1]', None, 'lie in [0, 1]')
    """
    return lambda _, value: None if low <= value <= high else f"lie in [{low}, {high}]"


def one_of(options: Iterable[Any], note: str = "") -> Rule:
    """One of a few."""
    known = list(options)
    return lambda _, value: None if value in known else f"be one of {', '.join(map(str, known))}{note}"


def positive(_: Any, value: float) -> str | None:
    """Above zero, and a number."""
    return None if 0 < value < math.inf else "be positive and finite"


class Shared:
    """What live and standalone widgets share; `widget` sets the attributes with an underscore."""

    alt: str
    _name: str
    _keys: tuple[str, ...]
    _still: str
    _rules: Mapping[str, Rule]
    _follows: Mapping[str, str]

    def html(self) -> str:
        """The widget in its current state, as HTML that needs no kernel and no network."""
        return standalone(self._name, {key: getattr(self, key) for key in self._keys}, self._still, self.alt)

    def _problem(self, trait: str, value: Any, from_page: bool = False) -> str | None:
        """Why a trait must not hold a value, in a sentence; None if it may."""
        wrong = None
        if not from_page and trait in FIXED:
            wrong = "not change once the widget is made"
        elif not from_page and trait in self._follows:
            wrong = f"not be set: it follows {self._follows[trait]}"
        elif trait in self._rules:
            wrong = self._rules[trait](self, value)
        text = repr(value)
        return wrong and f"{trait} must {wrong}, got {text if len(text) <= 80 else f'{text[:80]} …'}"


class StandaloneWidget(Shared):
    """A widget where anywidget is not installed: HTML alone, with the same traits as plain attributes."""

    def __init__(self, state: dict[str, Any], facts: dict[str, Any]) -> None:
        self.__dict__.update(state | facts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}

    def __setattr__(self, name: str, value: Any) -> None:
        if wrong := self._problem(name, value):
            raise ValueError(wrong)
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in ("observe", "unobserve", "set_state", "send", "comm"):
            raise AttributeError(f'{name} needs a live widget, so anywidget: pip install "mixlearn[lab]"')
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def widget(
    name: str,
    state: dict[str, Any],
    still: str,
    alt: str,
    rules: Mapping[str, Rule] | None = None,
    follows: Mapping[str, str] | None = None,
    alone: type[StandaloneWidget] = StandaloneWidget,
    extended: Callable[[Any], Any] = lambda live: live,
) -> Any:
    """A widget of a kernel and a page where anywidget is installed, else of the page alone.

    `name` is that of its module in assets, `state` holds its traits, `still` (a data URL) is shown where
    scripts do not run, `follows` names what the page works out and from what.
    """
    facts: dict[str, Any] = {"_name": name, "_keys": tuple(state), "_still": still, "alt": alt}
    facts |= {"_rules": rules or {}, "_follows": follows or {}}
    try:
        live = _live_class(name, state)
    except ImportError:
        return alone(state, facts)
    made = extended(live)(**state)
    for key, fact in facts.items():
        setattr(made, key, fact)
    return made


def _live_class(name: str, state: Mapping[str, Any]) -> Any:
    """The ipywidget of a module: one synced trait for each value of its state."""
    import anywidget
    import traitlets

    class Live(Shared, anywidget.AnyWidget):
        """A widget that a kernel and a page share."""

        _esm = bundle(name)
        _name, _from_page = "", False  # it has no name while it is made

        def set_state(self, sync_data: dict[str, Any]) -> None:
            self._from_page = True
            try:
                super().set_state(sync_data)
            finally:
                self._from_page = False

        @traitlets.validate(*state)
        def _is_right(self, proposal: Any) -> Any:
            trait, value = proposal["trait"].name, proposal["value"]
            if self._name and (wrong := self._problem(trait, value, self._from_page)):
                raise traitlets.TraitError(wrong)
            return value

        def _repr_mimebundle_(self, **options: Any) -> Any:
            shown = super()._repr_mimebundle_(**options)
            data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
            return {**data, "text/html": self.html(), "text/plain": self.alt}, metadata

    kinds: dict[type, Any] = {
        bool: traitlets.Bool,
        int: traitlets.Int,
        float: traitlets.CFloat,  # NumPy's numbers and 0-d tensors too
        str: traitlets.Unicode,
        list: traitlets.List,
        dict: traitlets.Dict,
    }
    traits = {key: kinds[type(value)]().tag(sync=True) for key, value in state.items()}
    return type(name, (Live,), traits)
