"""The patch groups: the page's arithmetic against the package's, the widget's state, size and refusals."""

import re
from functools import partial

import pytest
import torch

import mixlearn as ml
from tests.methods.test_patchmix import published_targets
from tests.page import node
from tests.refused import refusals
from tests.seeds import seeded

CASES = [  # B, M, patches in a row
    (6, 3, 3),
    (4, 3, 3),  # B < 2M − 1
    (5, 3, 4),  # one patch left over
    (2, 5, 4),  # M > B
    (3, 6, 4),  # M > B, four left over
    (2, 3, 2),
    (6, 1, 8),
    (6, 6, 8),
    (4, 2, 4),
]
in_node = partial(node.in_node, ("patch_plan",))


@pytest.mark.parametrize(("batch", "parts", "across"), CASES)
def test_the_page_plans_as_the_package_does(batch, parts, across):
    count, names = across**2, ["cat", "dog", "owl", "cat", "emu", "ibis"][:batch]
    order = torch.randperm(count, generator=seeded(parts)).tolist()
    images = torch.arange(batch * count).double().view(batch, 1, across, across)
    mixed = ml.patchmix(images, patch=1, parts=parts, order=order)
    body = """
        const { order, batch, parts, names } = given, plan = js.patchPlan(order, batch, parts);
        const all = (f) => names.map((_, i) => order.map((_, t) => f(i, t)));
        return { W: js.sourceMatrix(plan), WW: js.agreement(js.sourceMatrix(plan)), groups: plan.groups,
            source: all(plan.source), back: all((i, t) => plan.target(plan.source(i, t), t)),
            said: names.map((_, i) => js.describeMixture(plan, i, names)) };"""
    found = in_node(body, {"order": order, "batch": batch, "parts": parts, "names": names})
    shares = mixed.plan.source_matrix()
    torch.testing.assert_close(torch.tensor(found["W"], dtype=torch.float32), shares, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        torch.tensor(found["WW"], dtype=torch.float32), shares @ shares.T, rtol=0, atol=1e-6
    )
    assert torch.equal(
        torch.tensor(found["source"]), torch.div(mixed.images, count, rounding_mode="floor").flatten(1).long()
    )
    assert found["back"] == [[i] * count for i in range(batch)]  # where a patch came from, and where it went
    left = [place for place, group in enumerate(found["groups"]) if group < 0]
    assert sorted(left) == sorted(order[count - count % parts :]) if count % parts else left == []
    assert found["said"] == [mixed.plan.describe(i, names) for i in range(batch)]


def test_the_released_targets_are_those_published():
    each = "[1, 2, 3, 4, 5, 6].map((parts) => js.releasedTargets(batch, parts))"
    for batch, found in enumerate(in_node(f"return [2, 3, 4, 5, 6].map((batch) => {each});"), 2):
        expected = torch.stack([torch.stack(published_targets(batch, parts)) for parts in range(1, 7)])
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float32), expected, rtol=0, atol=1e-6)


def test_shuffles_are_permutations_and_follow_the_seed():
    body = "const r = js.uniform(given); return Array.from({ length: 400 }, () => js.permutation(6, r));"
    found, again, other = (node.in_node(("mix", "patch_plan"), body, seed) for seed in (5, 5, 6))
    assert all(sorted(order) == list(range(6)) for order in found)
    assert found == again != other
    first = torch.tensor(found)[:, 0].bincount(minlength=6)
    assert int(first.min()) > 35  # 67 each on average
    checks = in_node("return [[0, 1], [1, 1], [0, 2], [0]].map((order) => js.isPermutation(order, 2));")
    assert checks == [True, False, False, False]


@pytest.mark.parametrize(("batch", "parts", "across"), CASES)
def test_groups_lie_apart_within_the_tile(batch, parts, across):
    side, gap, between, patch = 400.0, 4.0, 12.0, (400 - 4 * (across - 1)) / across
    body = f"""const plan = js.patchPlan([...Array({across**2}).keys()], {batch}, {parts});
        return {{ ...js.clusters(plan, {patch}, {side}, {gap}, {between}), each: plan.each }};"""
    found = in_node(body)
    places, size, each = found["places"], found["size"], found["each"]
    assert 0.4 * patch < size <= patch + 1e-9
    for slot, (x, y) in enumerate(places):
        assert x >= -1e-6 and y >= -1e-6 and x + size <= side + 1e-6 and y + size <= side + 1e-6
        for other, (u, v) in enumerate(places[:slot]):
            same = min(slot // each, parts) == min(other // each, parts)
            assert max(abs(x - u), abs(y - v)) >= size + (gap if same else between) - 1e-6


@pytest.mark.parametrize(("batch", "parts", "patch"), [(4, 3, 32), (2, 5, 24), (6, 4, 12)])
def test_what_it_begins_with(batch, parts, patch):
    widget = ml.widgets.patch_groups(batch, parts, patch, seed=3)
    names = [photo["name"] for photo in widget.photos][:batch]
    images = ml.data.photos(96).pick(*names).images
    plan = ml.patchmix(images, patch=patch, parts=parts, generator=seeded(3)).plan
    assert torch.equal(
        plan.groups, ml.patchmix(images, patch=patch, parts=parts, order=widget.order).plan.groups
    )
    words = "; ".join(f"mixture {i}: {plan.describe(i, names)}" for i in range(batch))
    assert widget.alt == f"Patch groups: {words}"
    page = widget.html()
    assert re.search(r'<img src="data:image/webp;base64,[^"]+" alt="' + re.escape(widget.alt), page)
    assert "<noscript>" in page and (widget.mixture, widget.place, widget.step) == (-1, -1, 0)


def test_in_a_kernel():
    widget, seen = ml.widgets.patch_groups(order=range(9), released=True), []
    widget.observe(lambda change: seen.append(change["new"]), "order")
    widget.set_state({"order": list(range(8, -1, -1)), "step": 5, "mixture": 2, "place": 7})  # the page's
    assert seen == [list(range(8, -1, -1))] and (widget.step, widget.mixture, widget.place) == (5, 2, 7)
    assert '"step": 5' in widget.html() and widget.released
    widget.batch, widget.patch = 6, 12


test_errors_name_what_came = refusals(
    ({"batch": 7}, r"batch must lie in 2…6, the number of images, got 7"),
    ({"batch": 3, "images": torch.rand(2, 3, 8, 8), "patch": 4}, r"2…2, the number of images, got 3"),
    ({"parts": 0}, r"parts must lie in 1…6, got 0"),
    ({"parts": 5, "patch": 48}, r"parts must lie in 1…4, the number of patches, got 5"),
    ({"patch": 96}, r"patch must go 2…8 times into 96 pixels, got 96"),
    ({"step": 6}, r"step must lie in 0…5, got 6"),
    ({"order": [0, 1, 1, 3], "patch": 48}, r"order must be a permutation of 0…3, got \[0, 1, 1, 3\]"),
    ({"names": ["unicorn", "dog"]}, "no photograph of 'unicorn'"),
    by=lambda arguments: ml.widgets.patch_groups(**arguments),
)
