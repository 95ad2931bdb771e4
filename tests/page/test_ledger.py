"""The loss ledger: its arrows against autograd and MixSKD's learner, its effects, its widget."""

import json

import pytest
import torch

import mixlearn as ml
from experiments.chapters.chapter_6 import mixskd
from experiments.records import write
from mixlearn.methods.mixskd import TERMS
from mixlearn.page.host import bundle
from mixlearn.page.ledger import PARTS, WAYS, arrows, effects, learning, parts_of
from mixlearn.train import records as runs
from tests.data.test_shipped import script
from tests.experiments.test_records import record, run
from tests.refused import refusals, refused
from tests.seeds import seeded

FORMS = [(adversarial, learn) for adversarial in (False, True) for learn in (True, False)]


def every_slope(terms, places):
    """The gradient of each term for each place, as one vector; None where there is none, or only zeros."""
    found = {}
    for term, value in terms.items():
        for place, values in places.items():
            taught = [each for each in values if each.requires_grad]
            some = torch.autograd.grad(value, taught, allow_unused=True, retain_graph=True) if taught else ()
            some = [slope.flatten() for slope in some if slope is not None]
            found[term, place] = torch.cat(some) if some and torch.cat(some).any() else None
    return found


def what_changes(values, size, terms):
    """The terms that are others where these values are."""
    before, kept = terms(), [value.detach().clone() for value in values]
    with torch.no_grad():
        for value in values:
            value += size * torch.randn(value.shape, generator=seeded(4))
        after = terms()
        for value, old in zip(values, kept, strict=True):
            value.copy_(old)
    return {term for term in TERMS if not torch.allclose(before[term], after[term], rtol=1e-5, atol=1e-6)}


def state_of(slope, changed):
    return "gradient" if slope is not None else "detached" if changed else "none"


@pytest.fixture(scope="module")
def network():
    draws = seeded(3)
    net = ml.nets.resnet(8, 4, width=4, generator=draws)
    return net, torch.randn(6, 3, 8, 8, generator=draws), torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize(("adversarial", "critics_learn"), FORMS)
def test_parts_learn_in_the_learner_what_the_arrows_say(network, adversarial, critics_learn):
    net, images, labels = network
    learner = ml.learners.MixSKD(
        net, adversarial=adversarial, critics_learn=critics_learn, generator=seeded(1)
    )
    parts = parts_of(net, learner)
    every = [*net.parameters(), *learner.parameters()]
    assert sorted(map(id, every)) == sorted(id(weight) for weights in parts.values() for weight in weights)
    expected = arrows(adversarial=adversarial, critics_learn=critics_learn)

    def terms():
        return learner(net, images, labels, generator=seeded(2))

    found = every_slope(terms(), parts)
    for part, weights in parts.items():
        changed = what_changes(weights, 0.05, terms)
        for term in TERMS:
            assert expected[term][part].state == state_of(found[term, part], term in changed), (term, part)


def test_what_nobody_teaches():
    whole = learning()
    assert all(whole.values()) and whole["teacher"] == ("mixed",) and whole["critics"] == ("critic",)
    assert [part for part, terms in learning([t for t in TERMS if t != "mixed"]).items() if not terms] == [
        "teacher"
    ]
    released = learning([t for t in TERMS if t != "mixed"], critics_learn=False)
    assert [part for part in PARTS if not released[part]] == ["teacher", "critics"]
    assert not any(learning(()).values())
    refused(lambda: learning(("labels", "dis")), "terms are labels, mixed, .*, got 'dis'")


def written(where, way, accuracies, **change):
    made = tuple(run(seed, accuracy) for seed, accuracy in enumerate(accuracies))
    write(record(f"mixskd-fashion-{way}", runs=made, **change), where)


def test_effects_are_those_of_the_records(tmp_path):
    assert set(effects(tmp_path)) == set(WAYS) and not any(effects(tmp_path).values())
    written(tmp_path, "no-mixed", (0.80, 0.79, 0.81))
    assert effects(tmp_path)["no-mixed"].gain is None  # nothing to compare with
    written(tmp_path, "mixskd", (0.82, 0.83, 0.83))
    written(tmp_path, "no-labels", (0.82, 0.83))  # too few seeds
    written(tmp_path, "released", (0.7, 0.7, 0.7, 0.7))  # other seeds
    found = effects(tmp_path)
    assert [way for way in WAYS if found[way]] == ["mixskd", "no-mixed", "released"]
    assert found["mixskd"].gain is None and found["released"].gain is None
    assert found["mixskd"].accuracy.percent() == "82.7 ± 1.4"
    assert found["no-mixed"].gain.mean == pytest.approx(-0.08 / 3)
    assert found["no-mixed"].gain.n == 3
    ledger = ml.widgets.loss_ledger(effects=found)
    rows = {row["way"]: row for row in ledger.effects}
    assert rows["no-mixed"] == {"way": "no-mixed", "accuracy": "80.0 ± 2.5", "gain": "−2.7 ± 2.9"}
    assert rows["no-critic"] == {"way": "no-critic", "accuracy": "", "gain": ""}


def test_the_page_says_what_was_measured_and_what_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "folder", lambda: tmp_path)
    none = ml.widgets.loss_ledger()
    assert none.measured_on == "" and {row["accuracy"] for row in none.effects} == {""}
    written(tmp_path, "mixskd", (0.82, 0.83, 0.83))
    some = ml.widgets.loss_ledger()
    assert some.measured_on == "Fashion-MNIST, 7200 images, ResNet-8, 15 epochs, 3 seeds"
    assert [row["way"] for row in some.effects if row["accuracy"]] == ["mixskd"]


def test_the_experiment_runs_every_way():
    assert {f"mixskd-fashion-{way}" for way in WAYS} <= set(mixskd)


def test_the_table_that_ships_is_the_one_that_autograd_gives():
    assert ml.widgets.loss_ledger().arrows == json.loads(json.dumps(script("make_ledger").table()))
    assert json.dumps(list(TERMS)) in bundle("loss_ledger")  # in the package's order


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "every part learns"),
        ({"ablate": ("critic",)}, "without critic: the critics learn nothing"),
        ({"ablate": ("labels", "mixed")}, "without labels and mixed: the self-teacher learns nothing"),
        ({"ablate": TERMS}, "no term is on"),
    ],
)
def test_in_words(arguments, words):
    assert ml.widgets.loss_ledger(**arguments).alt.endswith(words)


def test_in_a_kernel():
    ledger, seen = ml.widgets.loss_ledger(("mixed",), adversarial=True, selected="critic"), []
    assert (ledger.labels, ledger.mixed, ledger.adversarial, ledger.critics_learn) == (
        True,
        False,
        True,
        True,
    )
    ledger.observe(lambda change: seen.append(change["new"]), "mixed")
    ledger.set_state({"mixed": True, "selected": "teacher"})  # what the page sends
    assert seen == [True] and ledger.selected == "teacher" and '"mixed": true' in ledger.html()
    ledger.selected = ""


test_errors_name_what_came = refusals(
    ({"ablate": "mixed"}, TypeError, r"sequence of terms, got the string 'mixed'; write \('mixed',\)"),
    ({"ablate": ("dis",)}, ValueError, "terms are labels, mixed, .*, got 'dis'"),
    ({"selected": "dis"}, ValueError, "terms are labels, .*, got 'dis'"),
    ({"effects": {"no-dis": None}}, ValueError, "effects are of mixskd, no-labels, .*, got 'no-dis'"),
    by=lambda arguments: ml.widgets.loss_ledger(**arguments),
)
