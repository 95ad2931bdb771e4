"""`python -m mixlearn`, the command line of old records: now `python -m experiments`, in a checkout."""

from __future__ import annotations

import sys

from mixlearn.core.extras import need


def main(arguments: list[str] | None = None) -> int:
    """Run the command line of the repository; 0 if all went well.

    >>> main(["runs", "no-such-run"])
    1
    """
    try:
        return int(need("experiments.command", "the command line").main(arguments))
    except ImportError as missing:
        words = str(missing)
        if str(getattr(missing.__cause__, "name", "")).startswith("experiments"):
            words = "the command line is in the repository and not in the package: run it in a checkout"
        print(f"error: {words}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
