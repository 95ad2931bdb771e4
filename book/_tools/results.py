"""The tables of the results page, made from the run records in book/results."""

from __future__ import annotations

import mixlearn as ml


def page() -> str:
    """Markdown: one section per record, or one honest sentence where there is none."""
    try:  # TEMPORARY until the room is there
        records = ml.runs.all()
    except ModuleNotFoundError:
        records = []
    if not records:
        return "No run has been recorded yet."
    return "\n\n".join(str(record) for record in records)
