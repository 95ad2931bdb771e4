"""Every solution and variant passes, every mistake has its name, and whatever an answer does is a verdict."""

import contextlib
import inspect
import json
import math
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlearn import course
from mixlearn.course.exercise import explained
from mixlearn.course.inputs import SECTIONS
from mixlearn.course.judge import apart
from mixlearn.course.run import pack, unpack
from tests.course.seeds import alarms, verdict
from tests.course.variants import RIGHT

NAMES = course.exercises()
ASKED = """
    sample_lam mixup soft_labels soft_cross_entropy pair_cross_entropy mixed_accuracy sample_box cutmix
    cutout resizemix fmix_mask saliency_box mask_energy sinkhorn mix_block mask_loss ema_update
    automix_terms distillation mixskd_terms patchify patchmix patchmix_targets nt_xent contrastive_loss
    ece knn_predict train_step
"""
FIXED = {
    "mixup": "images targets lam partner",
    "cutmix": "images targets box partner",
    "sample_box": "lam height width generator",
    "soft_cross_entropy": "logits targets",
    "mixed_accuracy": "logits labels partner lam",
    "ema_update": "slow fast momentum",
    "mask_loss": "masks lam margin",
    "patchmix_targets": "sources batch",
    "nt_xent": "first second temperature",
    "ece": "probs labels bins",
}
MUTATIONS = {  # of a right answer, in no catalogue: what to add to the result, or an answer
    "sample_lam": lambda n, a, g: course.exercise("sample_lam").solution(n, a, g) ** 1.3,
    "sample_box": lambda lam, h, w, g: course.exercise("sample_box").solution(lam**3, h, w, g),
    "resizemix": lambda x, t, k, p, g: course.exercise("resizemix").solution(x, t, 0.7 * k, p, g),
    "fmix_mask": lambda lam, h, w, g: (
        course.exercise("fmix_mask").solution(lam, h, w, g).roll(1, 0).cummax(0).values
    ),
    "knn_predict": lambda *a: course.exercise("knn_predict").solution(*a).roll(1),
    "saliency_box": lambda *a: (0, 0, 3, 2),
    "train_step": lambda *a: tuple(1.1 * one for one in course.exercise("train_step").solution(*a)),
    "ema_update": lambda s, f, m: {
        k: 1.25 * a for k, a in course.exercise("ema_update").solution(s, f, m).items()
    },
}


def mutated(name):
    def answer(*args):
        value = course.exercise(name).solution(*args)
        return (value[0] * 1.07 + 0.01, *value[1:]) if isinstance(value, tuple) else value * 1.07 + 0.01

    return MUTATIONS.get(name, answer)


def test_the_exercises_are_those_asked_for():
    assert sorted(NAMES) == sorted(ASKED.split()) and len(NAMES) == 28
    assert {name: " ".join(course.exercise(name).parameters) for name in FIXED} == FIXED


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_complete(name):
    task = course.exercise(name)
    assert ">>> " in task.text and task.chapter in range(2, 8) and task.level in (1, 2, 3) and task.points > 0
    letters = {"lam": "λ", "tau": "τ", "beta": "β", "epsilon": "ε", "temperature": "T", "momentum": "m"}
    for name_ in task.parameters:
        assert re.search(rf"\b{name_}\b|{letters.get(name_, name_)}", task.text), name_
    space = {"torch": torch, "Tensor": torch.Tensor, "Generator": torch.Generator, "nn": torch.nn}
    exec(task.stub, space)  # the hand-in notebook's cell
    assert course.check(name, space[name]).mistake == "not-written"
    assert len(task.mistakes) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_of_every_form_pass(name):
    assert len({*RIGHT[name]} - {course.exercise(name).solution}) >= 3
    assert alarms(name, range(2)) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_false_alarm_in_twenty_seeds(name):
    assert alarms(name, range(100, 120), [course.exercise(name).solution]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_is_named(name):
    task = course.exercise(name)
    seen = {mistake: verdict(task, how, 3) for mistake, how in task.mistakes.items()}
    assert {one: found.mistake for one, found in seen.items()} == {one: one.split("#")[0] for one in seen}
    assert all(explained(name, found.mistake) in found.message for found in seen.values())
    assert all(not found.passed and found.points == 0 and len(found.message) > 40 for found in seen.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_mutation_is_rejected_with_what_was_seen(name):
    found = verdict(course.exercise(name), mutated(name), 0)
    assert not found.passed and found.mistake in (None, "wrong-gradient")
    assert "With " in found.message and ("expected" in found.message or "gradient" in found.message)


@pytest.mark.parametrize("name", NAMES)
def test_every_edit_finds_its_place(name):
    source = inspect.getsource(course.exercise(name).solution)
    lines = [line.split(": ", 1)[1] for line in SECTIONS[name].splitlines() if " => " in line]
    edits = [edit.split(" => ")[0] for line in lines for edit in line.split(" ;; ")]
    assert [old for old in edits if old not in source] == []


@pytest.mark.parametrize("name", [name for name in NAMES if course.exercise(name).bugs])
def test_bugs_to_be_repaired_have_names_alone_and_together(name):
    task = course.exercise(name)
    assert set(task.bugs) <= set(task.mistakes) and len(task.together) == {2: 1, 3: 4}[len(task.bugs)]
    assert all(verdict(task, how, 3).mistake in task.bugs for _, how in task.together)


def test_values_come_before_gradients_and_a_factor_is_told():
    task = course.exercise("mixskd_terms")

    def wrong(*args):  # the first call's values are right, its gradients are not
        terms = list(task.solution(*args))
        return terms[0].detach(), terms[1] * (0.7 if args[-1] == 3 else 1), *terms[2:]

    assert "expected `mixed`" in verdict(task, wrong, 0).message
    scaled = course.check("mask_energy", lambda *args: 3 * course.exercise("mask_energy").solution(*args))
    assert "It is 3 times the expected one, in every call." in scaled.message


def test_a_name_needs_agreement_everywhere():
    task = course.exercise("mixup")

    def wrong(x, t, lam, partner):  # its images have λ permuted, its labels have not
        return task.mistakes["lam-permuted"](x, t, lam, partner)[0], 0.9 * t

    def twice(x, t, lam, partner):  # a mistake that has a name, and another
        return x, 0.9 * t

    assert verdict(task, wrong, 0).mistake is None
    assert verdict(task, twice, 0).mistake == "images-not-mixed"


def test_a_number_is_shown_without_its_sign_if_it_is_zero_and_inputs_can_be_made_again():
    found = course.check("mixup", lambda x, t, w, p: (-0.0 * x, t))
    assert "-0" not in found.message and "images = [[[[0, 8]]], [[[4, 12]]]]" in found.message
    assert "`mixed images`" in found.message


def test_every_explanation_belongs_to_a_mistake():
    text = Path(course.__file__).with_name("mistakes.txt").read_text(encoding="utf-8")
    names = [line.split(": ")[0] for line in text.splitlines() if ": " in line and line[0] != "#"]
    known = set(names)
    assert len(known) == len(names), "the last of two texts of one name would serve for both"
    used = {
        form for name in NAMES for one in course.exercise(name).mistakes for form in (one, f"{name}/{one}")
    }
    other = {one.rpartition("/")[2] for one in known - used}
    assert other <= {*CONDUCT, "process-ended", "unreadable", "not-found", "too-slow"}, other


# ------------------------------------------------------------------------------------------ what answers do
def right(images, targets, lam, partner):
    return RIGHT["mixup"][1](images, targets, lam, partner)


def raising(images, targets, lam, partner):
    raise KeyError("no such thing")


def leaving(images, targets, lam, partner):
    sys.exit("bye")


def endless(images, targets, lam, partner):
    while True:
        time.sleep(0.001)


def changing(images, targets, lam, partner):
    result = right(images, targets, lam, partner)
    images *= 0
    return result


def drawing(images, targets, lam, partner):
    torch.rand(1)
    return right(images, targets, lam, partner)


def unwritten(images, targets, lam, partner):
    raise NotImplementedError


def nan(images, targets, lam, partner):
    images, targets = right(images, targets, lam, partner)
    return images / 0 * 0, targets


def of(how):
    return lambda *args: how(*right(*args))


CONDUCT = {
    "raises": [raising, leaving],
    "never-returns": [endless],
    "input-changed": [changing],
    "global-generator": [drawing],
    "not-finite": [nan],
    "wrong-type": [of(lambda x, t: x), of(lambda x, t: {"images": x}), of(lambda x, t: (x, "soft"))],
    "wrong-shape": [of(lambda x, t: (x[0], t)), of(lambda x, t: (x, t[:, :1]))],
    "wrong-dtype": [of(lambda x, t: (x, t > 0)), of(lambda x, t: (x.half(), t))],
    "wrong-device": [of(lambda x, t: (x.to("meta"), t))],
    "nothing-returned": [lambda *a: None, lambda *a: ...],
    "not-written": [unwritten],
    "wrong-parameters": [lambda images: images, lambda: None],
    "no-gradient": [],
    "wrong-gradient": [],
    "not-repeatable": [],
}


@pytest.mark.parametrize(("mistake", "answer"), [(k, f) for k, all_ in CONDUCT.items() for f in all_])
def test_whatever_an_answer_does_is_a_verdict(mistake, answer):
    state = torch.get_rng_state()
    found = course.check("mixup", answer, seconds=0.4)
    assert (found.passed, found.mistake) == (False, mistake), found
    assert torch.equal(state, torch.get_rng_state())


def test_gradients_and_repeated_draws_are_seen():
    ce = course.exercise("soft_cross_entropy").solution
    assert course.check("soft_cross_entropy", lambda z, t: ce(z, t).item()).mistake == "no-gradient"
    half = course.check("soft_cross_entropy", lambda z, t: 0.5 * ce(z, t) + 0.5 * ce(z, t).detach())
    assert half.mistake == "wrong-gradient"
    source = torch.Generator().manual_seed(0)
    kept = course.check(
        "sample_box", lambda lam, h, w, g: course.exercise("sample_box").solution(lam, h, w, source)
    )
    assert kept.mistake == "not-repeatable"


def test_printing_is_told_and_a_thread_that_cannot_be_stopped_too(capsys):
    def printing(*args):
        print("debug")
        return right(*args)

    def stubborn(images, targets, lam, partner):
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with contextlib.suppress(BaseException):
                time.sleep(0.01)

    found = course.check("mixup", printing)
    assert found.passed and "also printed: 'debug" in found.message and capsys.readouterr().out == ""
    assert "restart the kernel" in course.check("mixup", stubborn, seconds=0.3).message


def test_a_slow_answer_is_told_how_to_wait():
    def slow(lam, height, width, generator):
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass
        return course.exercise("sample_box").solution(lam, height, width, generator)

    found = course.check("sample_box", slow, seconds=0.6)
    assert found.mistake == "too-slow" and "seconds=2.4" in found.message


def test_bad_calls_name_the_way_out():
    with pytest.raises(ValueError, match="did you mean 'cutmix'"):
        course.check("cut_mix", right)
    with pytest.raises(TypeError, match="without brackets; got Tensor"):
        course.check("mixup", torch.ones(1))
    message = course.check("mixup", lambda images: images).message
    assert "def mixup(images" in message and "takes 1 positional argument but 4" in message


def test_a_verdict_prints_itself_and_gives_hints_one_by_one(capsys):
    found = course.check("mixup", lambda x, t, w, p: (x, "<script>"))
    assert "<script>" not in found._repr_html_() and "not yet right" in repr(found)
    seen = [found.hints() or capsys.readouterr().out for _ in range(3)]
    assert [one.count("\n") for one in seen] == [1, 2, 2] and seen[1].startswith(seen[0])
    assert "`v.hints()`" in repr(found) and found.inputs["images"].flatten().tolist() == [0, 8, 4, 12]
    assert course.check("mixup", right)._repr_html_().count("2 of 2 points") == 1


def test_a_verdict_is_deterministic_and_quick():
    start = time.process_time()
    found = [course.check("cutmix", course.exercise("cutmix").mistakes["lam-exchanged"]) for _ in range(2)]
    assert found[0] == found[1] and time.process_time() - start < 2


def test_samples_that_agree_and_samples_that_do_not():
    a, b = (torch.rand(400, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    assert apart(a, b, 0.0) < 1 < apart(a, b + 0.3, 0.0)
    assert apart(a, b + 0.3, 0.31) < 1
    one, rarely = torch.ones(99), torch.ones(99).index_fill(0, torch.tensor([5]), 1.1)
    assert apart(one, one, 0.0) == 0
    assert apart(rarely, one, 0.0) < 1 < apart(rarely, one, 0.0, exact=True)


def of_two_seeds_alike(name):
    """Whether an exercise has the same inputs, but for generators, whatever the seed."""
    first, second = (list(course.exercise(name).cases(seed)) for seed in (1, 2))
    kept = [
        [pack(one) for case in cases for one in case if not isinstance(one, torch.Generator)]
        for cases in (first, second)
    ]
    return kept[0] == kept[1]


def test_references_of_answers_that_draw_serve_all_seeds():
    drawing = [name for name in NAMES if course.exercise(name).draws]
    assert len(drawing) == 4 and all(map(of_two_seeds_alike, drawing)) and not of_two_seeds_alike("mixup")


def test_plain_data_survives_the_pipe_and_nothing_else_does():
    values = [
        torch.rand(2, 3),
        torch.tensor(3),
        torch.zeros(0, 2),
        {"a": [1, 2.5, None, True]},
        math.inf,
        "text",
    ]
    for one in values:
        again = unpack(json.loads(json.dumps(pack(one))))
        assert torch.equal(one, again) if isinstance(one, torch.Tensor) else one == again
    assert unpack(pack(object())) == "object" and unpack(pack(torch.ones(1, device="meta"))).is_meta
    assert torch.equal(unpack(pack(np.float32([1, 2]))), torch.tensor([1.0, 2.0]))
    assert unpack(pack(torch.ones(1, dtype=torch.complex64))).is_complex()


DRAWN = {  # exercises whose verdicts have a picture, and the rows of it
    "mixup": 2, "cutmix": 3, "cutout": 3, "resizemix": 3, "patchify": 3, "patchmix": 3, "sample_box": 2,
    "saliency_box": 2, "fmix_mask": 2, "mix_block": 2, "soft_labels": 2, "sinkhorn": 2, "patchmix_targets": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_shows_what_was_seen_and_expected(name):
    task = course.exercise(name)
    wrong = verdict(task, list(task.mistakes.values())[1], 0)
    assert len(wrong.rows) == DRAWN.get(name, 0) and ("`v.picture()`" in repr(wrong)) == (name in DRAWN)
    if name not in DRAWN:
        with pytest.raises(ValueError, match=f"nothing to draw: {name}"):
            wrong.picture()
        return
    assert any(
        not torch.equal(*pair) for pair in zip(wrong.rows["yours"], wrong.rows["expected"], strict=True)
    )
    drawn = [place.images[0].get_array() for place in wrong.picture().axes if place.images]
    assert len(drawn) == sum(map(len, wrong.rows.values())) and all(one.max() <= 1 for one in drawn)


def test_a_box_is_drawn_where_it_is():
    shown = course.check("saliency_box", lambda saliency, lam: (-2, 1, 3, 4)).rows["yours"][0]  # of (8, 12)
    assert shown.shape == (16, 24) and shown[4 + 1 : 4 + 4, 6 - 2 : 6 + 3].min() >= 0.6 - 1e-6
    assert (shown >= 0.6 - 1e-6).sum() == 15 and (shown > 0.9).sum() == 9


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        course.check("mixup", lambda x, t, w, p: (x, t)).picture()


def test_torch_alone_is_needed(tmp_path):
    code = """
        import sys
        for name in ("numpy", "matplotlib", "scipy", "IPython"):
            sys.modules[name] = None
        from mixlearn import course
        from mixlearn.course.__main__ import main
        print(course.check("cutmix", course.exercise("cutmix").solution).passed, main(["list"]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.endswith("True 0\n"), done.stderr
