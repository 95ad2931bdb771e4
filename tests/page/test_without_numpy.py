"""PyTorch can be installed without NumPy: figures and widgets then say what to install."""

import re
import subprocess
import sys

CODE = """
import sys, warnings

class NoNumPy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "numpy":
            raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

sys.meta_path.insert(0, NoNumPy())
warnings.simplefilter("ignore")
import torch, mixlearn as ml

images, g = torch.rand(4, 3, 8, 8), torch.Generator()
mixed = ml.mixup(images, torch.arange(4), num_classes=4, generator=g)
given = {"images": images, "names": ["a", "b", "c", "d"]}
points, labels = torch.rand(8, 2), torch.arange(8) % 2
calls = {
    "images": lambda: ml.figures.images(images),
    "plan": lambda: ml.figures.plan(images, mixed),
    "batch": lambda: ml.figures.batch(images, mixed),
    "boundary": lambda: ml.figures.boundary({"net": torch.nn.Linear(2, 2)}, points, labels),
    "curves": lambda: ml.figures.curves({"a": [{"epoch": e, "accuracy": 0.5} for e in (1, 2)]}),
    "lambda_mixer": lambda: ml.widgets.lambda_mixer(pair=("a", "b"), **given),
    "shipped photographs": lambda: ml.widgets.lambda_mixer(),
    "box_lab": lambda: ml.widgets.box_lab(pair=("a", "b"), size=8, box=(0, 0, 4, 4), **given),
    "patch_groups": lambda: ml.widgets.patch_groups(patch=4, **given),
    "mask_studio": lambda: ml.widgets.mask_studio(),
    "mask_film": lambda: ml.widgets.mask_film(),
    "jpeg": lambda: ml.measure.jpeg_compression(images),
}
for name, call in calls.items():
    try:
        call()
        print(name, "| came without NumPy")
    except Exception as error:
        print(name, "|", type(error).__name__, "|", error)
print("beta_explorer |", ml.widgets.beta_explorer(0.3).alpha)
"""


def test_figures_and_widgets_say_that_numpy_is_missing():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *told, explorer = done.stdout.strip().splitlines()
    for line in told:
        assert re.search(r'\| ImportError \| .* needs numpy: pip install "mixlearn\[lab\]"$', line), line
    assert explorer == "beta_explorer | 0.3"  # it needs none
