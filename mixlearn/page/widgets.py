"""The widgets of the book. Each works in a built page with no kernel, and in a live notebook with one.

In a kernel with anywidget a widget is an ipywidget: its traits (`lam`, `alpha` …) can be read and set. Its
one mime bundle also carries the standalone HTML, which is what a built page shows; without anywidget the
HTML is all there is, and the widget still works. Colab draws each output in a frame of its own, where that
HTML runs as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_alpha
from mixlearn.page.host import bundle, picture_url, standalone

SHOWN = ("dog", "cat", "owl", "kingfisher", "panda", "koala")
SIZE = 128  # pixels of the shipped photographs in the widget

__all__ = ["beta_explorer", "lambda_mixer"]


def lambda_mixer(
    lam: float = 0.6,
    pair: tuple[str, str] = ("dog", "cat"),
    *,
    alpha: float = 1.0,
    images: Tensor | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Any:
    """Mix two photographs by a slider: pixels, label bar, draws from Beta(α, α), whose λ it is.

    Args:
        lam: λ to begin with, in [0, 1].
        pair: names of the image and of its partner.
        alpha: of the Beta distribution that λ is drawn from.
        images: (N, 3, S, S) floats in [0, 1] in place of the shipped photographs.
        names: one for each of `images`.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `lam`, `own_name`, `partner_name`, `weighs_own` and `alpha`.

    Raises:
        ValueError: λ outside [0, 1], α not positive, a name that is not there, images that are not square.

    >>> widget = lambda_mixer(0.63, pair=("dog", "cat"))
    >>> widget.lam, widget.partner_name
    (0.63, 'cat')
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
    shipped = images is None
    if images is None:
        from mixlearn.lab.data import photos

        found = photos(size=SIZE).pick(*(names or SHOWN))
        images, names = found.images, found.names
    if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must have shape (N, 3, S, S), got {tuple(images.shape)}")
    names = [f"image {i}" for i in range(len(images))] if names is None else [str(name) for name in names]
    if len(names) != len(images):
        raise ValueError(f"names must hold one name for each of {len(images)} images, got {len(names)}")
    for name in pair:
        if name not in names:
            raise ValueError(f"pair must name two of {', '.join(names)}, got {name!r}")
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    state = {
        "photos": [
            {"name": name, "url": picture_url(each)} for name, each in zip(names, pixels, strict=True)
        ],
        "shipped": shipped,
        "lam": float(lam),
        "own_name": pair[0],
        "partner_name": pair[1],
        "weighs_own": True,
        "alpha": check_alpha(alpha),
        "seed": int(seed),
    }
    own, partner = (images[names.index(name)] for name in pair)
    mixture = (torch.lerp(partner, own, float(lam)) * 255).round().to(torch.uint8)
    words = f"λ mixer: a mixture of {round(100 * lam)} % {pair[0]} and {round(100 * (1 - lam))} % {pair[1]}"
    still = picture_url(mixture.permute(1, 2, 0).contiguous().numpy())
    return _widget("lambda_mixer", state, still, words)


def beta_explorer(alpha: float = 0.4, other: float = 2.0, *, compare: bool = False, seed: int = 0) -> Any:
    """See how α spreads λ: density, draws, the smaller share, and how many mixtures look unmixed.

    Args:
        alpha: α > 0 to begin with.
        other: a second α.
        compare: whether the second one is shown.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `alpha`, `other` and `compare`.

    Raises:
        ValueError: an α that is not positive and finite.

    >>> beta_explorer(0.2).alpha
    0.2
    """
    state = {
        "alpha": check_alpha(alpha),
        "other": check_alpha(other),
        "compare": bool(compare),
        "seed": int(seed),
    }
    words = f"Beta explorer: the density of λ under Beta({alpha}, {alpha}), with draws from it"
    return _widget("beta_explorer", state, "", words)


class StandaloneWidget:
    """A widget where anywidget is not installed: HTML alone, with the same traits as plain attributes."""

    def __init__(self, name: str, state: dict[str, Any], still: str, alt: str) -> None:
        self.__dict__.update(state)
        self._name, self._keys, self._still, self.alt = name, tuple(state), still, alt

    def html(self) -> str:
        """The widget as it stands, as HTML that needs no kernel and no network."""
        return standalone(self._name, {key: getattr(self, key) for key in self._keys}, self._still, self.alt)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}

    def __getattr__(self, name: str) -> Any:
        if name in ("observe", "unobserve", "set_state", "send", "comm"):
            raise AttributeError(f'{name} needs a live widget, so anywidget: pip install "mixlearn[lab]"')
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _widget(name: str, state: dict[str, Any], still: str, alt: str) -> Any:
    try:
        live = _live_class(name, tuple(state))
    except ImportError:
        return StandaloneWidget(name, state, still, alt)
    widget = live(**state)
    widget._name, widget._keys, widget._still, widget.alt = name, tuple(state), still, alt
    return widget


@cache
def _live_class(name: str, keys: tuple[str, ...]) -> Any:
    """The ipywidget of a module: one synced trait for each value of its state."""
    import anywidget
    import traitlets

    kinds: dict[str, Any] = {
        "photos": traitlets.List,
        "lam": lambda: traitlets.Float(min=0.0, max=1.0),
        "alpha": lambda: traitlets.Float(min=1e-3),
        "other": lambda: traitlets.Float(min=1e-3),
        "shipped": traitlets.Bool,
        "weighs_own": traitlets.Bool,
        "compare": traitlets.Bool,
        "seed": traitlets.Int,
        "own_name": traitlets.Unicode,
        "partner_name": traitlets.Unicode,
    }

    class Live(anywidget.AnyWidget):
        """A widget that a kernel and a page share."""

        _esm = bundle(name)
        html = StandaloneWidget.html

        @traitlets.validate("own_name", "partner_name")
        def _is_there(self, proposal: Any) -> str:
            there = [photo["name"] for photo in self.photos]
            if there and proposal["value"] not in there:
                raise traitlets.TraitError(
                    f"{proposal['trait'].name} must be one of {', '.join(there)}, got {proposal['value']!r}"
                )
            return str(proposal["value"])

        def _repr_mimebundle_(self, **options: Any) -> Any:
            found = super()._repr_mimebundle_(**options)
            data, metadata = found if isinstance(found, tuple) else (found or {}, {})
            return {**data, "text/html": self.html(), "text/plain": self.alt}, metadata

    return type(name, (Live,), {key: kinds[key]().tag(sync=True) for key in keys})
