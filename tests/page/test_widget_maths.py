"""The arithmetic that runs in the page, in node, against Python."""

import base64
import json
import shutil
import subprocess

import pytest
import torch
from scipy import integrate, stats

import mixlearn as ml
from mixlearn.page.host import _ASSETS

ALPHAS = [0.05, 0.2, 0.4, 1.0, 2.0, 8.0]


def in_node(body):
    """Run a function body that may use `mix`, the module of the maths, and return what it returns."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the JavaScript of the widgets is tested with node, which was not found")
    module = "data:text/javascript;base64," + base64.b64encode((_ASSETS / "mix.js").read_bytes()).decode()
    script = f'import * as mix from "{module}";\nconsole.log(JSON.stringify((() => {{{body}}})()));'
    done = subprocess.run(
        [node, "--input-type=module"], input=script, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_bytes_are_those_of_the_plan():
    g = torch.Generator().manual_seed(0)
    own, partner = torch.randint(0, 256, (2, 400), generator=g).tolist()
    for lam in (0.0, 0.25, 0.5, 0.63, 1.0):
        found = in_node(f"return [...mix.mixBytes([...Array(400)], {own}, {partner}, {lam})];")
        images = torch.tensor([own, partner]).double()
        expected = ml.mixup(images, lam=torch.tensor(lam, dtype=torch.float64), partner=[1, 0]).images[0]
        assert (torch.tensor(found) - expected).abs().max() <= 0.5 + 1e-6


def test_the_sentence_is_that_of_the_plan():
    shares = [0.0, 0.005, 0.125, 0.37, 0.5, 0.625, 0.63, 0.995, 1.0]
    found = in_node(f'return {shares}.map((share) => mix.describe(share, "cat", "dog"));')
    plans = [ml.MixPlan.pair(torch.tensor([1, 0]), torch.full((2,), share)) for share in shares]
    assert found == [plan.describe(0, ["cat", "dog"]) for plan in plans]
    assert in_node('return mix.describe(0.3, "cat", "cat");') == "100 % cat"


@pytest.mark.parametrize("alpha", ALPHAS)
def test_density_and_tail(alpha):
    grid = [0.001, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999]
    density = in_node(f"return {grid}.map((x) => mix.betaDensity(x, {alpha}));")
    below = in_node(f"return {grid}.map((x) => mix.betaBelow(x, {alpha}));")
    beta = stats.beta(alpha, alpha)
    assert density == pytest.approx(list(beta.pdf(grid)), rel=1e-9)
    assert below == pytest.approx(list(beta.cdf(grid)), rel=1e-9)
    assert in_node(f"return mix.looksUnmixed({alpha}, 0.95);") == pytest.approx(2 * beta.cdf(0.05), rel=1e-9)
    mean = 2 * integrate.quad(lambda x: x * beta.pdf(x), 0, 0.5, points=[1e-6, 1e-3])[0]
    assert in_node(f"return mix.meanSmallerShare({alpha});") == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_draws_follow_the_density(alpha):
    draws = in_node(
        f"const r = mix.uniform(7); return Array.from({{length: 4000}}, () => mix.betaDraw({alpha}, r));"
    )
    inner = [x for x in draws if 1e-9 < x < 1 - 1e-9]
    beta = stats.beta(alpha, alpha)
    low, high = beta.cdf(1e-9), beta.cdf(1 - 1e-9)
    assert stats.kstest(inner, lambda x: (beta.cdf(x) - low) / (high - low)).pvalue > 1e-3
    assert (4000 - len(inner)) / 4000 == pytest.approx(2 * low, abs=0.02)
