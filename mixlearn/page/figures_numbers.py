"""Figures of numbers: draws of λ, densities, soft labels, and plain quantities."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_alpha
from mixlearn.core.extras import array
from mixlearn.page import style as look
from mixlearn.page.style import Picture

ROW = 0.22  # inches, of a bar
OWN_SHARE = "λ, the image’s own share"


def _density(lam: Tensor, alpha: float) -> Tensor:
    """The density of Beta(α, α)."""
    return torch.distributions.Beta(*torch.tensor([alpha, alpha]).double()).log_prob(lam.double()).exp()


def lam_histogram(lams: Tensor | Sequence[float], alpha: float | None = None, bins: int = 20) -> Picture:
    """A histogram of draws of λ, and over it the exact density of Beta(α, α).

    Args:
        lams: the draws, any shape, each in [0, 1].
        alpha: of the density; None draws none (for the λ that clipped boxes realise, say).
        bins: of equal width, at least 1.

    >>> lam_histogram([0.25, 0.5, 0.75, 1.0], alpha=1.0, bins=4)
    Picture: Histogram of 4 draws of λ, mean 0.62, under the density of Beta(1, 1): 25 % lie ...
    """
    draws = torch.as_tensor(lams, dtype=torch.float64).flatten().cpu()
    count = draws.numel()
    if not count or not bool(((draws >= 0) & (draws <= 1)).all()):
        span = f"{count} from {draws.min():g} to {draws.max():g}" if count else "none"
        raise ValueError(f"lams must be draws in [0, 1], at least one, got {span}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    law = "" if alpha is None else f"the density of Beta({check_alpha(alpha):g}, {alpha:g})"
    heights = torch.histc(draws, bins, 0.0, 1.0) * bins / count
    extreme = ((draws < 0.1) | (draws > 0.9)).double().mean().item()
    mean, top = draws.mean().item(), heights.max().item()
    with look.style():
        figure = look.canvas(2.7, "constrained")
        axes = figure.subplots()
        looks: dict[str, Any] = {"color": look.TEAL, "alpha": 0.42, "edgecolor": look.PAPER, "linewidth": 0.8}
        axes.bar(array(torch.arange(bins) / bins), array(heights), 1 / bins, align="edge", **looks)
        if alpha is not None:
            inner = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
            density = _density(inner, alpha)
            top = max(top, min(density.max().item(), 1.6 * top))
            axes.plot(array(inner), array(density), color=look.INK, linewidth=1.4)
        many = f"{count:,} draws".replace(",", "\u2009")
        axes.set_title(f"{many} (bars) and {law} (line)" if law else many)
        axes.set_title(f"{look.percent(extreme)} lie within 0.1 of 0 or 1", loc="right", color=look.MUTED)
        axes.axvline(mean, color=look.AMBER, linestyle=look.LINES[1], linewidth=1.2)
        axes.set(xlim=(0, 1), ylim=(0, 1.12 * top), xlabel=OWN_SHARE, ylabel="density")
        beside: dict[str, Any] = {**look.LABEL, "xycoords": ("data", "axes fraction"), "va": "top", "size": 8}
        axes.annotate(f"mean {look.number(mean)}", (mean, 1), (4, -2), color=look.AMBER, **beside)
    under = f", under {law}" if law else ""
    share = f"{round(100 * extreme)} % lie within 0.1 of 0 or 1"
    return Picture(figure, f"Histogram of {count} draws of λ, mean {look.number(mean)}{under}: {share}.")


def beta_family(alphas: Sequence[float] = (0.1, 0.2, 0.4, 1.0, 2.0, 8.0)) -> Picture:
    """The densities of Beta(α, α) for up to six α: what one number changes.

    >>> beta_family([0.2, 1.0])
    Picture: Densities of Beta(α, α) over λ: α = 0.2 is 0.32 at λ = 0.5, rising to the ends; α = 1 is ...
    """
    if not 1 <= len(alphas) <= len(look.COLOURS):
        raise ValueError(f"alphas must be one to {len(look.COLOURS)} numbers, got {len(alphas)}")
    alphas = [check_alpha(alpha) for alpha in alphas]
    inner = torch.linspace(0.0005, 0.9995, 1999, dtype=torch.float64)
    middle = [_density(torch.tensor(0.5), alpha).item() for alpha in alphas]
    top = 1.18 * max(2.4, *middle)
    told = []
    with look.style():
        figure = look.canvas(3.1, "constrained")
        axes = figure.subplots()
        axes.set(xlim=(0, 1), ylim=(0, top), xlabel=OWN_SHARE, ylabel="density")
        for k, (alpha, height) in enumerate(zip(alphas, look.spread(middle, 0.055 * top), strict=True)):
            axes.plot(
                array(inner), array(_density(inner, alpha)), color=look.COLOURS[k], linestyle=look.LINES[k]
            )
            # the label lies on its line, as heights do on a map; above it where that would hide a peak
            label: dict[str, Any] = {"color": look.COLOURS[k], "size": 8, "ha": "center"}
            if alpha > 1:
                axes.text(0.5, max(height, middle[k]) + 0.015 * top, f"α = {alpha:g}", va="bottom", **label)
            else:
                axes.text(0.5, height, f"α = {alpha:g}", va="center", bbox=look.GROUND, **label)
            shape = "level" if alpha == 1 else "rising to the ends" if alpha < 1 else "gathered in the middle"
            told.append(f"α = {alpha:g} is {look.number(middle[k])}{' at λ = 0.5' * (k == 0)}, {shape}")
    return Picture(figure, f"Densities of Beta(α, α) over λ: {'; '.join(told)}.")


def label_lines(
    epsilon: float = 0.0, num_classes: int = 10, names: tuple[str, str] = ("own class", "partner’s class")
) -> Picture:
    """The soft label of a pair against λ, with label smoothing and without.

    Args:
        epsilon: of label smoothing, in [0, 1); 0 draws the mixed label alone.
        num_classes: over which smoothing spreads ε.
        names: the classes of the image and of its partner.

    >>> label_lines(0.1, 10, ("cat", "dog"))
    Picture: Soft label against λ: cat rises from 0.00 to 1.00, dog falls from 1.00 to 0.00; ...
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must lie in [0, 1), got {epsilon}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    low, high = epsilon / num_classes, 1 - epsilon + epsilon / num_classes
    with look.style():
        figure = look.canvas(2.6, "constrained")
        axes = figure.subplots()
        if epsilon:
            axes.plot([0, 1], [low, high], color=look.TEAL, linestyle=look.LINES[1], linewidth=1)
            axes.plot([0, 1], [high, low], color=look.AMBER, linestyle=look.LINES[1], linewidth=1)
            axes.axhline(low, color=look.MUTED, linestyle=look.LINES[2], linewidth=1)
            note = f"every other class, smoothed by ε = {epsilon:g}"
            axes.annotate(note, (0.5, low), (0, 7), size=7.5, color=look.MUTED, ha="center", **look.LABEL)
            axes.annotate("smoothed", (1, high), (6, 0), size=7.5, color=look.TEAL, **look.LABEL)
        axes.plot([0, 1], [0, 1], color=look.TEAL)
        axes.plot([0, 1], [1, 0], color=look.AMBER)
        axes.annotate(names[0], (1, 1), (6, 0), color=look.TEAL, **look.LABEL)
        axes.annotate(names[1], (1, 0), (6, 0), color=look.AMBER, **look.LABEL)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=OWN_SHARE, ylabel="target")
        axes.grid(axis="y", color=look.FAINT)
    told = f"Soft label against λ: {names[0]} rises from 0.00 to 1.00, {names[1]} falls from 1.00 to 0.00"
    if epsilon:
        told += f"; smoothed by {epsilon:g} they run between {look.number(low)} and {look.number(high)}"
    return Picture(figure, told + ".")


def bars(
    values: Mapping[str, float], unit: str, *, marked: Collection[str] = (), logarithmic: bool = False
) -> Picture:
    """Quantities by name, one a line, in the order given: bars, or dots on a logarithmic axis.

    Args:
        values: by name, each 0 or more, above 0 on a logarithmic axis.
        unit: what they count, written under the axis.
        marked: names to stand out.
        logarithmic: equal steps for equal ratios. Lengths mean nothing then, so dots take the place of bars.

    >>> bars({"flip": 0.95, "Mixup": 1.4, "rotate": 32.0}, "time in copies of the batch", marked=["Mixup"])
    Picture: Quantities by name, time in copies of the batch: flip 0.95, Mixup 1.4, rotate 32.
    """
    if not values:
        raise ValueError("values must hold at least one quantity, got none")
    for name, value in values.items():
        if not math.isfinite(value) or value < 0 or (logarithmic and value == 0):
            least = "above 0" if logarithmic else "0 or more"
            raise ValueError(f"values[{name!r}] must be finite and {least}, got {value}")
    if unknown := [name for name in marked if name not in values]:
        raise ValueError(f"marked must be names of values, got {unknown}")
    with look.style():
        figure = look.canvas(ROW * len(values) + 0.75, "constrained")
        axes = figure.subplots()
        for row, (name, value) in enumerate(values.items()):
            strong = name in marked
            colour = look.AMBER if strong else look.TEAL
            if logarithmic:
                axes.axhline(row, color=look.FAINT, linewidth=0.7)
                dot: dict[str, Any] = {"marker": "s" if strong else "o", "markeredgecolor": look.PAPER}
                axes.plot([value], [row], color=colour, linestyle="", markersize=6.5, **dot)
            else:
                axes.barh(
                    row,
                    value,
                    0.62,
                    color=colour,
                    hatch=look.HATCHES[strong],
                    edgecolor=look.PAPER,
                    linewidth=0,
                )
            axes.annotate(
                _short(value), (value, row), (6, 0), size=8, color=look.INK, bbox=look.GROUND, **look.LABEL
            )
        low, high = min(values.values()), max(values.values())
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(low / 1.4, high * 1.8)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        else:
            axes.set_xlim(0, 1.12 * high or 1)
        axes.set(ylim=(len(values) - 0.5, -0.5), xlabel=unit)
        axes.xaxis.label.set_parse_math(False)
        axes.spines["left"].set_visible(not logarithmic)
        axes.tick_params("y", length=0, labelsize=9)
        axes.set_yticks(range(len(values)), list(values))
        for name, label in zip(values, axes.get_yticklabels(), strict=True):
            label.set_parse_math(False)
            if name in marked:
                label.set(weight="bold", color=look.AMBER)
    told = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
    return Picture(figure, f"Quantities by name, {unit}: {told}.")


def _short(value: float) -> str:
    """Two figures, as far as that goes."""
    return look.number(value, 0 if value >= 10 or value == 0 else 1 if value >= 1 else 2)
