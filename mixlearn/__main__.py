"""`python -m mixlearn`: train, evaluate, probe, runs, info."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 if all went well. A user's mistake is told in one line.

    >>> main(["runs", "no-such-run"])
    1
    """
    from mixlearn.core.extras import need

    words = sys.argv[1:] if arguments is None else arguments
    try:
        need("typer", "the command line")
        console = need("experiments.command", "the command line")
        return int(console.app(spread(words), prog_name="python -m mixlearn", standalone_mode=True) or 0)
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else 1
    except KeyboardInterrupt as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        return 130
    except (ValueError, TypeError, FloatingPointError, ImportError, OSError, RuntimeError) as wrong:
        print(f"error: {' '.join(str(wrong).split())}", file=sys.stderr)
        return 1


def spread(words: list[str]) -> list[str]:
    """Let one `--seeds` take several numbers.

    >>> spread(["--seeds", "0", "1", "--keep"])
    ['--seeds', '0', '--seeds', '1', '--keep']
    """
    found: list[str] = []
    several = False
    for word in words:
        if word == "--seeds":
            several = True
        elif several and word.lstrip("-").isdigit():
            found += ["--seeds", word]
        else:
            several = False
            found.append(word)
    return found


if __name__ == "__main__":
    sys.exit(main())
