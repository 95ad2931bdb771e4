"""The widgets in JupyterLab, live: their keys stay theirs, and traits go both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import lab

pytestmark = pytest.mark.xdist_group("lab")  # one server, for one process

CALLS = {
    "lambda_mixer": "0.4",
    "beta_explorer": "1.0",
    "box_lab": "(40, 40, 104, 104)",
    "mask_studio": "0.6, pairs=[(630, 621)], methods={'box': ml.cutmix}",
    "mask_film": "0.6, pairs=[(630, 621)]",
    "loss_ledger": "",
    "patch_groups": "order=range(9)",
    "bins_lab": "15",
    "mosaic_lab": "(64, 64)",
    "plane_lab": "points=[(-0.5, 0), (0.5, 0)], labels=[0, 1], alpha=0.5",
}
# a control of each widget, a key on it, and the trait that the key moves: its value before and after
KEYS = {
    "lambda_mixer": ("[data-name=lam]", "ArrowRight", "lam", 0.4, 0.41),
    "beta_explorer": ("[data-name=compare]", "Space", "compare", False, True),
    "box_lab": ("[data-name=stage]", "ArrowDown", "box", (40, 40, 104, 104), (40, 41, 104, 105)),
    "mask_studio": ("[data-name=target]", "ArrowLeft", "target", 0.6, 0.59),
    "mask_film": ("[data-name=lam]", "ArrowUp", "lam", 0.6, 0.61),
    "loss_ledger": ("[data-term=critic][role=button]", "Enter", "selected", "", "critic"),
    "patch_groups": ("[data-name=next]", "Enter", "step", 0, 1),
    "bins_lab": ("[data-name=bins]", "ArrowRight", "bins", 15, 16),
    "mosaic_lab": ("[data-name=stage]", "ArrowDown", "centre", [64, 64], [64, 65]),
    "plane_lab": ("[data-name=stage]", "ArrowUp", "points", [[-0.5, 0], [0.5, 0]], [[-0.5, 0.02], [0.5, 0]]),
}
# a trait that the kernel sets, and a control that then shows it
SET = {
    "lambda_mixer": ("lam = 0.75", "[data-name=lam]", "0.75"),
    "beta_explorer": ("alpha = 2.0", "[data-name=alpha]", "1"),  # log2
    "box_lab": ("lam = 0.75", "[data-name=lam]", "0.75"),
    "mask_studio": ("target = 0.25", "[data-name=target]", "0.25"),
    "mask_film": ("lam = 0.25", "[data-name=lam]", "0.25"),
    "patch_groups": ("batch = 3", "[data-name=batch]", "3"),
    "bins_lab": ("bins = 30", "[data-name=bins]", "30"),
    "mosaic_lab": ("least = 0.5", "[data-name=least]", "0.5"),
    "plane_lab": ("alpha = 2.0", "[data-name=alpha]", "2"),
}
CELLS = "jupyterapp.shell.currentWidget.content"


class Lab:
    """The open notebook: a cell makes each widget."""

    def __init__(self, page: Page, kernel: lab.Kernel) -> None:
        self.page, self.kernel = page, kernel

    def cells(self) -> list[Any]:
        """Which cell is selected, in which mode, and how many there are."""
        return list(self.page.evaluate(f"[{CELLS}.activeCellIndex, {CELLS}.mode, {CELLS}.widgets.length]"))

    def widget(self, name: str) -> Any:
        """The widget's frame, in the output of its cell."""
        place = 1 + list(CALLS).index(name)
        return self.page.locator(".jp-Notebook .jp-Cell").nth(place).locator("section.mlw")


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "files").mkdir()
    made = [f"w[{name!r}] = ml.widgets.{name}({given})\nw[{name!r}]" for name, given in CALLS.items()]
    lab.write_notebook(
        folder / "files" / "widgets.ipynb", ["import mixlearn as ml\n\nw = {}", *made, "done = True"]
    )
    with lab.served(folder) as (url, runtime):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(1000 * lab.PATIENCE)
        context.route(lambda address: not address.startswith(url), lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{url}lab/tree/widgets.ipynb")
        kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        page.wait_for_function(f"{kernel}?.status === 'idle'")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        found = Lab(page, lab.only_kernel(runtime))
        assert found.kernel("done"), page.locator(".jp-OutputArea-output").all_inner_texts()
        for name in CALLS:
            found.widget(name).wait_for(state="attached")
        yield found
        found.kernel.client.stop_channels()
        context.close()


@pytest.mark.parametrize("name", CALLS)
def test_keys_move_the_widget_and_not_the_cells(notebook: Lab, name: str) -> None:
    control, key, trait, before, after = KEYS[name]
    page, node = notebook.page, notebook.widget(name).locator(control).first
    assert notebook.kernel(f"w[{name!r}].{trait}") == before
    node.focus()
    cells = notebook.cells()
    assert cells == [1 + list(CALLS).index(name), "command", 2 + len(CALLS)]  # here → and d d are shortcuts
    page.keyboard.press(key)
    notebook.kernel.until(f"w[{name!r}].{trait}", after)
    assert notebook.cells() == cells, f"{key} in the widget changed cells"
    for letter in "ddxz":
        page.keyboard.press(letter)
    page.keyboard.press("Escape")
    assert notebook.cells() == cells, "a letter in the widget changed cells"
    assert node.evaluate("node => node === document.activeElement"), "the control lost the focus"
    page.keyboard.press("Tab")  # the browser's own keys stay
    assert notebook.widget(name).evaluate("node => node.contains(document.activeElement)")
    assert not node.evaluate("node => node === document.activeElement")


@pytest.mark.parametrize("name", SET)
def test_what_the_kernel_sets_is_shown(notebook: Lab, name: str) -> None:
    change, control, shown = SET[name]
    done = notebook.kernel.run(f"w[{name!r}].{change}")
    assert done["status"] == "ok", done
    node = notebook.widget(name).locator(control).first.element_handle()
    notebook.page.wait_for_function("([node, shown]) => node.value === shown", arg=[node, shown])


def test_a_term_that_the_kernel_switches_off_is_shown(notebook: Lab) -> None:
    assert notebook.kernel.run("w['loss_ledger'].mixed = False")["status"] == "ok"
    notebook.widget("loss_ledger").locator("[data-name=mixed][aria-pressed=false]").wait_for()


def test_a_mask_and_an_order_go_both_ways(notebook: Lab) -> None:
    kernel, page = notebook.kernel, notebook.page
    notebook.widget("mask_studio").locator("[data-name=clear]").press("Enter")
    kernel.until("w['mask_studio'].lam", 1.0)
    assert set(kernel("w['mask_studio'].mask")) <= set("A=")
    kernel.run("import base64; w['mask_studio'].mask = base64.b64encode(bytes([255] * 1024)).decode()")
    page.wait_for_function(
        "node => node.dataset.lam === '0'", arg=notebook.widget("mask_studio").element_handle()
    )
    kernel.until("w['mask_studio'].lam", 0.0)  # the page worked it out and told the kernel
    notebook.widget("patch_groups").locator("[data-name=shuffle]").press("Enter")
    kernel.until("w['patch_groups'].order != list(range(9))", True)
    assert sorted(kernel("w['patch_groups'].order")) == list(range(9))


def test_a_value_out_of_range_is_refused_in_the_kernel(notebook: Lab) -> None:
    done = notebook.kernel.run("w['box_lab'].box = (0, 0, 500, 8)")
    assert done["status"] == "error" and "box must be (x0, y0, x1, y1)" in done["evalue"]


def test_saving_still_works_from_inside_a_widget(notebook: Lab) -> None:
    page = notebook.page
    notebook.widget("lambda_mixer").locator("[data-name=lam]").focus()
    page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty = true")
    page.keyboard.press("Control+s")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
