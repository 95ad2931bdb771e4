"""A run record on one card: text in a terminal, a table in a notebook or on a page."""

from __future__ import annotations

from html import escape

from mixlearn.lab.runs import Record

_PERCENT = ("accuracy", "ece", "gap")
_LABELS = {
    "accuracy": "accuracy (%)",
    "ece": "ECE (%)",
    "gap": "confidence − accuracy (%)",
    "nll": "NLL (nats)",
}


class Card:
    """What a record says, for people. `str(card)` is its text; a notebook shows a table.

    Args:
        record: the record.
    """

    def __init__(self, record: Record) -> None:
        self.record = record

    def rows(self) -> list[tuple[str, str]]:
        """The card's lines: a name and its value."""
        record = self.record
        facts = [run["environment"] for run in record.runs]
        memory = record.peak_memory / 2**20
        found = [(name.replace("_", " "), str(value)) for name, value in record.settings.items()]
        digest = str(record.data.get("sha256", ""))[:12] or "unknown"
        found.append(("data", f"{record.data['name']}, sha256 {digest}"))
        found += [(_label(name), value) for name, value in self.measures()]
        found += [
            ("seeds", ", ".join(str(seed) for seed in record.seeds)),
            ("time", f"{duration(record.seconds)} in all, {duration(record.seconds / len(facts))} a seed"),
            ("peak memory", f"{memory:,.0f} MiB".replace(",", " ")),
            ("device", _each(facts, "device")),
            ("threads", _each(facts, "threads")),
            ("torch", _each(facts, "torch")),
            ("CUDA", _each(facts, "cuda")),
            ("Python", _each(facts, "python")),
            ("mixlearn", _each(facts, "mixlearn")),
            ("commit", ", ".join(_commits(facts))),
            ("command", record.command),
        ]
        return [(name, value) for name, value in found if value not in ("", "None")]

    def measures(self) -> list[tuple[str, str]]:
        """Each final measure of each test set, as mean ± interval."""
        whole = self.record.summary
        sets = {name.partition("/")[0] for name in whole if "/" in name}
        chosen = [name for name in whole if ("/" in name) == (len(sets) > 1)]
        return [(name, shown(name, whole[name])) for name in chosen]

    def __str__(self) -> str:
        rows = self.rows()
        wide = max(len(name) for name, _ in rows)
        return "\n".join([self.record.name, *(f"  {name:<{wide}}  {value}" for name, value in rows)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, cell = _css(_HEAD), _css(_CELL)
        lines = "".join(
            f'<tr><th scope="row" {head}>{escape(name)}</th><td {cell}>{escape(value)}</td></tr>'
            for name, value in self.rows()
        )
        title = f"Run record <code>{escape(self.record.name)}</code>"
        return (
            f'<table class="mixlearn-card" {_css(_TABLE)}><caption style="text-align:left">{title}</caption>'
            f"<tbody>{lines}</tbody></table>"
        )


# Colours are the page's own, so that a card is legible on light and on dark ground.
_TABLE = ("border:1px solid currentColor", "color:inherit", "background:transparent", "padding:.5em")
_HEAD = ("text-align:left", "font-weight:600", "padding:.1em 1em .1em 0")
_CELL = ("text-align:left", "overflow-wrap:anywhere")


def _css(rules: tuple[str, ...]) -> str:
    return f'style="{";".join(rules)}"'


def shown(name: str, value: object) -> str:
    """An interval in the unit of its measure: hundredths for shares, otherwise as it is."""
    from mixlearn.lab.intervals import Interval

    assert isinstance(value, Interval)
    measure = name.rpartition("/")[2]
    return value.percent() if measure in _PERCENT or measure.startswith("k=") else str(value)


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(150), duration(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _label(name: str) -> str:
    part, _, measure = name.rpartition("/")
    label = _LABELS.get(measure, measure)
    return f"{part}: {label}" if part else label


def _each(facts: list[dict[str, object]], name: str) -> str:
    """The value all runs share, or each value that some have."""
    return ", ".join(dict.fromkeys(str(fact.get(name)) for fact in facts))


def _commits(facts: list[dict[str, object]]) -> list[str]:
    return list(
        dict.fromkeys(
            str(fact.get("commit"))[:12] + (" with local changes" if fact.get("dirty") else "")
            for fact in facts
            if fact.get("commit")
        )
    )
