"""Tables: cells as they were given, records with their intervals and gains, and what is not there yet."""

import pytest

import mixlearn as ml
from experiments.records import write
from mixlearn.train.records import Record, interval
from tests.refused import refused

PLAIN, BETTER, LIKE = (0.80, 0.82, 0.81), (0.83, 0.85, 0.84), (0.79, 0.85, 0.80)


def kept(folder, name, accuracies):
    runs = tuple(
        {
            "seed": seed,
            "environment": {},
            "seconds": 1.0,
            "peak_memory": 0,
            "epochs": [],
            "final": {"test": {"accuracy": value, "nll": 1 - value}, "corrupted": {"accuracy": value / 2}},
        }
        for seed, value in enumerate(accuracies)
    )
    write(Record(name, "python -m mixlearn train x", {}, {"name": "x"}, runs), folder)


@pytest.fixture
def shelf(tmp_path):
    for name, values in {"plain": PLAIN, "better": BETTER, "like": LIKE, "one": (0.9,)}.items():
        kept(tmp_path, name, values)
    return tmp_path


def test_a_table_shows_its_cells_in_html_and_as_text():
    made = ml.figures.table("Areas", ["", "a < b"], [["one", 1], ["two", "**2**"]])
    page = made._repr_html_()
    assert "<caption>Areas</caption>" in page and "a &lt; b" in page and "<td><b>2</b></td>" in page
    assert "<th scope='row'" in page and page.count("</th>") == 4 and page.count("<tr>") == 3
    assert repr(made).splitlines() == ["Areas", "     a < b", "one  1", "two  **2**"]


def test_rows_must_be_as_long_as_the_head():
    with pytest.raises(ValueError, match=r"each row must have 2 cells, as the head has, got \['one'\]"):
        ml.figures.table("Areas", ["", "area"], [["one"]])


def test_records_stand_with_their_intervals_and_gains(shelf):
    rows = {"none": "plain", "Better": "better", "Alike": "like"}
    columns = {"accuracy, %": "accuracy", "NLL": "nll", "corrupted, %": "corrupted/accuracy"}
    made = ml.figures.records("All", rows, columns, against="none", where=shelf)
    assert made.head == ("", "accuracy, %", "NLL", "corrupted, %", "gain by seed")
    assert "of “none”, seed by seed. Bold: the interval of such a difference" in made.note
    bare = ml.figures.records("All", rows, {"accuracy": "accuracy", "NLL": "nll"}, where=shelf)
    assert bare.head == ("", "accuracy, %", "NLL"), "what is shown in hundredths says so"
    none, better, alike = made.rows
    assert none == ("none", interval(PLAIN).percent(), str(interval([1 - v for v in PLAIN])),
                    interval([v / 2 for v in PLAIN]).percent(), "")  # fmt: skip
    assert better[-1] == "**3.00 ± 0.00**", "clear of zero"
    for cell, values in zip(
        better[1:4],
        ([100 * v for v in BETTER], [1 - v for v in BETTER], [50 * v for v in BETTER]),
        strict=True,
    ):
        assert cell.startswith("**") and abs(float(cell[2:].split(" ±")[0]) - sum(values) / 3) < 0.06
    assert "<b>3.00&nbsp;±&nbsp;0.00</b>" in made._repr_html_(), "an interval is never broken in two"
    gain = interval([a - b for a, b in zip(LIKE, PLAIN, strict=True)])
    assert alike[-1] == gain.percent(2) and abs(gain.mean) < gain.half
    assert not any("*" in cell for cell in alike), "what is not clear is not bold in any column"


def test_gains_of_pairs_are_those_of_the_records(shelf):
    pairs = {"Better − none": ("better", "plain"), "none − Better": ("plain", "better")}
    pairs |= {"Alike − none": ("like", "plain"), "Begun − none": ("one", "plain")}
    made = ml.figures.gains("Pairs", pairs, {"accuracy, %": "accuracy", "NLL": "nll"}, where=shelf)
    assert made.head == ("", "accuracy, %", "NLL") and len(made.rows) == 3
    gain = interval([a - b for a, b in zip(LIKE, PLAIN, strict=True)])
    assert made.rows[0][1] == "**3.00 ± 0.00**" and made.rows[1][1] == "**−3.00 ± 0.00**"
    assert made.rows[2][1] == gain.percent(2) and made.rows[0][2] == "**−0.030 ± 0.000**"
    assert made.note.startswith("Differences seed by seed") and made.note.endswith("yet of `one`.")
    with pytest.raises(ValueError, match="columns must hold at least one measure"):
        ml.figures.gains("Pairs", pairs, {}, where=shelf)
    refused(lambda: ml.figures.gains("Pairs", pairs, {"x": "speed"}, where=shelf), "speed", KeyError)


def test_a_difference_that_is_only_just_clear_can_be_seen_to_be(shelf):
    kept(shelf, "near", [a + d for a, d in zip(PLAIN, (0.012, 0.021, 0.030), strict=True)])
    made = ml.figures.gains("Pairs", {"Near − none": ("near", "plain")}, {"%": "accuracy"}, where=shelf)
    assert made.rows[0][1] == "2.10 ± 2.24", "which one digit would show as 2.1 ± 2.2"


def test_records_of_other_seeds_are_not_compared(shelf):
    kept(shelf, "four", (*PLAIN, 0.8))
    words = r"seeds must be the same: four \(0, 1, 2, 3\), plain \(0, 1, 2\)"
    with pytest.raises(ValueError, match=words):
        ml.figures.gains("Pairs", {"x": ("four", "plain")}, {"%": "accuracy"}, where=shelf)
    with pytest.raises(ValueError, match=words):
        rows = {"none": "plain", "Four": "four"}
        ml.figures.records("All", rows, {"%": "accuracy"}, against="none", where=shelf)


def test_what_is_missing_or_begun_is_named_and_not_shown(shelf):
    rows = {"none": "plain", "Begun": "one", "Later": "nowhere"}
    made = ml.figures.records("All", rows, {"accuracy, %": "accuracy"}, where=shelf)
    assert [row[0] for row in made.rows] == ["none"]
    assert made.note == "No whole run record yet of “Begun” (`one`), “Later” (`nowhere`)."
    assert "<code>nowhere</code>" in made._repr_html_()
    made = ml.figures.records("All", rows, {"accuracy, %": "accuracy"}, against="Later", where=shelf)
    assert made.rows[0][-1] == "" and made.note.startswith("No whole run record yet"), "nothing to be unlike"


def test_bad_input_is_named(shelf):
    with pytest.raises(ValueError, match="columns must hold at least one measure"):
        ml.figures.records("All", {"none": "plain"}, {}, where=shelf)
    with pytest.raises(ValueError, match="against must be one of none, got 'other'"):
        ml.figures.records("All", {"none": "plain"}, {"x": "nll"}, against="other", where=shelf)
    with pytest.raises(KeyError, match="speed"):
        ml.figures.records("All", {"none": "plain"}, {"x": "speed"}, where=shelf)


def test_gains_need_the_same_seeds(shelf):
    one, plain = ml.runs.load("one", shelf), ml.runs.load("plain", shelf)
    assert plain.values("corrupted/accuracy") == [v / 2 for v in PLAIN]
    refused(lambda: plain.gain(one), r"seeds must be the same: plain \(0, 1, 2\), one \(0,\)")
