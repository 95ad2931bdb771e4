"""Pictures of λ: what is drawn, from which density, and what it does to a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.page.picture import Picture
from mixlearn.page.style import (
    AMBER,
    COLOURS,
    FAINT,
    INK,
    LINES,
    MUTED,
    PAPER,
    TEAL,
    canvas,
    number,
    percent,
    place,
    spread,
    style,
)


def beta_density(lam: Tensor, alpha: float) -> Tensor:
    """The density of Beta(α, α) at λ in (0, 1).

    Args:
        lam: where, any shape; the density has the same.
        alpha: α > 0.

    >>> beta_density(torch.tensor([0.25, 0.5]), 1.0)
    tensor([1., 1.])
    >>> beta_density(torch.tensor([0.5]), 2.0)
    tensor([1.5000])
    """
    whole = math.lgamma(2 * alpha) - 2 * math.lgamma(alpha)
    return (whole + (alpha - 1) * (lam.double().log() + (-lam.double()).log1p())).exp().to(lam.dtype)


def lam_histogram(lams: Tensor | Sequence[float], alpha: float | None = None, bins: int = 20) -> Picture:
    """A histogram of draws of λ, and over it the exact density of Beta(α, α).

    Args:
        lams: the draws, any shape, each in [0, 1].
        alpha: of the density; None draws none (for the λ that clipped boxes realise, say).
        bins: of equal width, at least 1.

    Raises:
        ValueError: no draws, draws outside [0, 1], alpha not positive, bins < 1.

    >>> lam_histogram([0.25, 0.5, 0.75, 1.0], alpha=1.0, bins=4)
    Picture: Histogram of 4 draws of λ, mean 0.62, under the density of Beta(1, 1): 25 % lie ...
    """
    draws = torch.as_tensor(lams, dtype=torch.float64).flatten().cpu()
    if draws.numel() == 0 or not bool(((draws >= 0) & (draws <= 1)).all()):
        raise ValueError(f"lams must be draws in [0, 1], at least one, got {_range(draws)}")
    if alpha is not None:
        _check_alpha(alpha)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    count = torch.histc(draws, bins, 0.0, 1.0)
    heights = count * bins / draws.numel()
    extreme = ((draws < 0.1) | (draws > 0.9)).double().mean().item()
    mean = draws.mean().item()
    with style():
        figure = canvas(2.7)
        axes = place(figure, 0.75, 0.35, 5.6, 1.85)
        left = torch.arange(bins) / bins
        bars: dict[str, Any] = {"color": TEAL, "alpha": 0.42, "edgecolor": PAPER, "linewidth": 0.8}
        axes.bar(array(left), array(heights), 1 / bins, align="edge", **bars)
        top = heights.max().item()
        said = ""
        if alpha is not None:
            inner = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
            density = beta_density(inner, alpha)
            top = max(top, min(density.max().item(), 1.6 * top))
            axes.plot(array(inner), array(density), color=INK, linewidth=1.4)
            said = f" under the density of Beta({alpha:g}, {alpha:g})"
        many = f"{draws.numel():,}".replace(",", "\u2009")
        line = "" if alpha is None else f" (bars) and the density of Beta({alpha:g}, {alpha:g}) (line)"
        axes.set_title(f"{many} draws{line}")
        axes.set_title(f"{percent(extreme)} lie within 0.1 of 0 or 1", loc="right", color=MUTED)
        axes.axvline(mean, color=AMBER, linestyle=LINES[1], linewidth=1.2)
        axes.set(xlim=(0, 1), ylim=(0, 1.12 * top), xlabel="λ, the image’s own share", ylabel="density")
        beside: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(f"mean {number(mean)}", (mean, 1), (4, -2), color=AMBER, va="top", size=8, **beside)
    return Picture(
        figure,
        f"Histogram of {draws.numel()} draws of λ, mean {number(mean)}{',' if said else ''}{said}: "
        f"{round(100 * extreme)} % lie within 0.1 of 0 or 1.",
    )


def beta_family(alphas: Sequence[float] = (0.1, 0.2, 0.4, 1.0, 2.0, 8.0)) -> Picture:
    """The densities of Beta(α, α) for several α: what one number changes.

    Args:
        alphas: up to six positive numbers.

    Raises:
        ValueError: none, more than six, or one that is not positive.

    >>> beta_family([0.2, 1.0])
    Picture: Densities of Beta(α, α) over λ: α = 0.2 is 0.32 at λ = 0.5, rising to the ends; α = 1 is ...
    """
    if not 1 <= len(alphas) <= len(COLOURS):
        raise ValueError(f"alphas must be one to {len(COLOURS)} numbers, got {len(alphas)}")
    for alpha in alphas:
        _check_alpha(alpha)
    inner = torch.linspace(0.0005, 0.9995, 1999, dtype=torch.float64)
    middle = [beta_density(torch.tensor([0.5], dtype=torch.float64), alpha).item() for alpha in alphas]
    top = 1.18 * max(2.4, *middle)
    with style():
        figure = canvas(3.1)
        axes = place(figure, 0.75, 0.2, 5.6, 2.4)
        for k, alpha in enumerate(alphas):
            colour, line = COLOURS[k], LINES[k]
            density = array(beta_density(inner, alpha))
            axes.plot(array(inner), density, color=colour, linestyle=line, clip_on=True)
        axes.set(xlim=(0, 1), ylim=(0, top), xlabel="λ, the image’s own share", ylabel="density")
        for k, height in enumerate(spread(middle, 0.055 * top)):
            # on its line, as heights stand on a map; above it where that would hide a peak
            ground: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
            label: dict[str, Any] = {"color": COLOURS[k], "size": 8, "ha": "center"}
            if alphas[k] > 1:
                axes.text(
                    0.5, max(height, middle[k]) + 0.015 * top, f"α = {alphas[k]:g}", va="bottom", **label
                )
            else:
                axes.text(0.5, height, f"α = {alphas[k]:g}", va="center", bbox=ground, **label)
    shapes = [
        "level" if alpha == 1 else "rising to the ends" if alpha < 1 else "gathered in the middle"
        for alpha in alphas
    ]
    said = "; ".join(
        f"α = {alpha:g} is {number(height)}{' at λ = 0.5' * (k == 0)}, {shape}"
        for k, (alpha, height, shape) in enumerate(zip(alphas, middle, shapes, strict=True))
    )
    return Picture(figure, f"Densities of Beta(α, α) over λ: {said}.")


def label_lines(
    epsilon: float = 0.0, num_classes: int = 10, names: tuple[str, str] = ("own class", "partner’s class")
) -> Picture:
    """The soft label of a pair against λ, with label smoothing and without.

    Args:
        epsilon: of label smoothing, in [0, 1); 0 draws the mixed label alone.
        num_classes: over which smoothing spreads ε.
        names: the classes of the image and of its partner.

    Raises:
        ValueError: epsilon outside [0, 1), fewer than two classes.

    >>> label_lines(0.1, 10, ("cat", "dog"))
    Picture: Soft label against λ: cat rises from 0.00 to 1.00, dog falls from 1.00 to 0.00; ...
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must lie in [0, 1), got {epsilon}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    low, high = epsilon / num_classes, 1 - epsilon + epsilon / num_classes
    ends: dict[str, Any] = {"xycoords": "data", "textcoords": "offset points", "va": "center"}
    ends["parse_math"] = False
    with style():
        figure = canvas(2.6)
        axes = place(figure, 0.9, 0.2, 4.6, 1.9)
        if epsilon:
            axes.plot([0, 1], [low, high], color=TEAL, linestyle=LINES[1], linewidth=1)
            axes.plot([0, 1], [high, low], color=AMBER, linestyle=LINES[1], linewidth=1)
            axes.axhline(low, color=MUTED, linestyle=LINES[2], linewidth=1)
            note = f"every other class, smoothed by ε = {epsilon:g}"
            axes.annotate(note, (0.5, low), (0, 7), size=7.5, color=MUTED, ha="center", **ends)
            axes.annotate("smoothed", (1, high), (6, 0), size=7.5, color=TEAL, **ends)
        axes.plot([0, 1], [0, 1], color=TEAL)
        axes.plot([0, 1], [1, 0], color=AMBER)
        axes.annotate(names[0], (1, 1), (6, 0), color=TEAL, **ends)
        axes.annotate(names[1], (1, 0), (6, 0), color=AMBER, **ends)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="λ, the image’s own share", ylabel="target")
        axes.grid(axis="y", color=FAINT)
    said = f"Soft label against λ: {names[0]} rises from 0.00 to 1.00, {names[1]} falls from 1.00 to 0.00"
    if epsilon:
        said += f"; smoothed by {epsilon:g} they run between {number(low)} and {number(high)}"
    return Picture(figure, said + ".")


def _check_alpha(alpha: float) -> None:
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must be a positive number, got {alpha}")


def _range(draws: Tensor) -> str:
    if draws.numel() == 0:
        return "none"
    return f"{draws.numel()} from {draws.min().item():g} to {draws.max().item():g}"
