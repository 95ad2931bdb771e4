"""A progress bar that works in a notebook and in a terminal; plain lines where neither is there."""

from __future__ import annotations

import sys
from typing import Any

from mixlearn.core.extras import need


class Progress:
    """Counts steps. In a terminal or a notebook a bar, elsewhere (a log file) one line an epoch.

    Args:
        total: steps of the whole run.
        done: steps done before.
        shown: False shows nothing.
        label: words in front.
    """

    def __init__(self, total: int, done: int, *, shown: bool, label: str = "") -> None:
        self._lines = shown and not (_notebook() or sys.stderr.isatty())
        self._bar: Any = None
        self._label = label
        if shown and not self._lines:
            tqdm = need("tqdm.auto", "a progress bar").tqdm
            self._bar = tqdm(
                total=total, initial=done, desc=label, unit="step", dynamic_ncols=True, mininterval=0.3
            )

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def epoch(self, number: int, of: int, found: dict[str, float]) -> None:
        """Show the numbers of the epoch just ended."""
        keys = [k for k in ("loss", "accuracy", "mean_average_precision") if k in found]
        words = ", ".join(f"{k} {found[k]:.3f}" for k in keys)
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {number}/{of}, {words}")
        elif self._lines:
            print(
                f"{self._label + ': ' if self._label else ''}epoch {number}/{of}, {words}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
