"""The book's GPU cells: their code, what one step of them needs, and small files in the formats they read."""

from __future__ import annotations

import ast
import json
import re
import weakref
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from PIL import Image
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import mixlearn as ml
from mixlearn.core import checks
from mixlearn.methods import contrast
from tests.prose import BOOK, cells

FLOPS = {"T4": 65e12, "A100": 312e12}  # a second, of 16-bit numbers, as the maker says
SHARE = 0.1  # of these that the book assumes
IMAGES = {"cifar": 50_000, "imagenet": 1_281_167, "imagenette": 9_469, "tiny": 100_000, "cub": 5_994}
IMAGES |= {"voc": 16_551, "voc small": 5_011, "coco": 118_287, "coco small": 4_000}
NEED = r"([\d.]+) GiB, ([\d.]+) (minutes|hours|days)\."
HEAD = re.compile(rf"# Full: (T4|A100) \((\d+) GB\), {NEED} Small: T4, {NEED}")
SECONDS = {"minutes": 60, "hours": 3600, "days": 86400}
GIB = 2**30


# --------------------------------------------------------------------------------------------- the cells
def is_gpu(cell: dict[str, Any]) -> bool:
    return "gpu" in cell["metadata"].get("tags", [])


PAGES = sorted(path.stem for path in BOOK.glob("*.ipynb") if any(map(is_gpu, cells(path.stem, "code"))))


class Stated(NamedTuple):
    """What a cell says that it needs."""

    card: str
    size: int  # GB
    memory: float  # GiB
    seconds: float


def stated(code: str, small: bool) -> Stated:
    found = HEAD.search(code)
    assert found, code[:200]
    card, size = ("T4", 16) if small else found.groups()[:2]
    memory, time, unit = found.groups()[5:] if small else found.groups()[2:5]
    return Stated(card, int(size), float(memory), float(time) * SECONDS[unit])


def scripts(page: str) -> Iterator[tuple[str, str]]:
    """The imports and functions of a page, then its GPU cells, by name."""
    nodes = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for cell in cells(page, "code"):
        code = "".join(cell["source"])
        if is_gpu(cell):
            yield cell["id"], code
        elif "setup" not in cell["metadata"].get("tags", []):
            parts = [ast.unparse(node) for node in ast.parse(code).body if isinstance(node, nodes)]
            yield "before", "\n".join(parts)


# ---------------------------------------------------------------------------------- what one step needs
class Live(TorchDispatchMode):
    """Bytes of fake tensors that are alive, their peak, and the operations done."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flops = 0
        self.known: Any = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        for one in tree_leaves(out):
            if isinstance(one, FakeTensor) and (storage := one.untyped_storage()) not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage.nbytes())
        return out

    def _gone(self, size: int) -> None:
        self.now -= size


class Need(NamedTuple):
    memory: float  # bytes of tensors at the peak
    flops: float  # for each image


def fake(wholes: list[nn.Module], mode: FakeTensorMode) -> int:
    """Make all tensors of modules fake, and the gradients of those that learn; their bytes before."""
    held = 0
    made: dict[int, Tensor] = {}
    alive = []  # so that no number is given twice
    for part in (part for whole in wholes for part in whole.modules()):
        for store in (part._parameters, part._buffers):
            for name, value in store.items():
                if value is not None and id(value) not in made and not isinstance(value, FakeTensor):
                    held += value.nbytes
                    alive.append(value)
                    one: Tensor = FakeTensor(mode, value.detach().to("meta"), torch.device("cpu"))
                    if isinstance(value, nn.Parameter):
                        one = nn.Parameter(one, value.requires_grad)
                        one.grad = one.detach().clone() if value.requires_grad else None
                    made[id(value)] = made[id(one)] = store[name] = one
                elif value is not None:
                    store[name] = made[id(value)]
    return held


def need(net: nn.Module, learner: Any, optimizer: Callable[..., Any], shape: Any, batch: int) -> Need:
    """What a step takes: weights, gradients and the optimiser's numbers, and the peak of all else."""
    wholes = [net, learner] if isinstance(learner, nn.Module) else [net]
    trained = [weight for whole in wholes for weight in whole.parameters() if weight.requires_grad]
    groups = optimizer(trained).param_groups
    held = sum(
        4 * weight.numel() * (3 if "betas" in group else 1 + bool(group["momentum"]))
        for group in groups
        for weight in group["params"]
    )  # a gradient, and one number more (momentum) or two (Adam)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    net, learner = deepcopy((net, learner))
    wholes = [net, learner] if isinstance(learner, nn.Module) else [net]
    held += fake(wholes, mode)
    if isinstance(learner, ml.learners.Guided):  # the solver looks at the maps: leave it out
        learner.mix = lambda x, y, *, saliency, **given: ml.mixup(x, y, **given)
    images: Tensor = FakeTensor(mode, torch.empty(batch, *shape, device="meta"), torch.device("cpu"))
    labels = torch.arange(batch) % net.get_submodule("fc" if hasattr(net, "fc") else "head").out_features
    if getattr(learner, "loss", None) is ml.soft_bce:
        labels = ml.one_hot(labels, net.fc.out_features)
    draws = torch.Generator().manual_seed(0)
    blind = {"readable": lambda _: False}  # fake tensors have no values to check
    with patch.multiple(checks, **blind), patch.multiple(contrast, **blind), Live() as live:
        parts = iter(learner.in_parts(net, images, labels, generator=draws))
        while True:
            with torch.autocast("cpu", torch.bfloat16):
                terms = next(parts, None)
            if terms is None:
                return Need(held + live.peak, live.flops / batch)
            torch.stack(list(terms.values())).sum().backward()


def images_of(checkpoint: str, small: bool) -> int:
    """How many images a run trains on, by the name of its checkpoint."""
    name = re.match(r"cifar|imagenette|[a-z]+", checkpoint)[0]  # type: ignore[index]
    return IMAGES[f"{name} small" if small and f"{name} small" in IMAGES else name]


# ------------------------------------------------------------------------------------------- small files
def picture(path: Path, size: tuple[int, int] = (40, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(path)


def write_folders(root: Path) -> None:
    """ImageNet, Imagenette and Tiny-ImageNet."""
    classes = ("n01440764", "n02102040")
    for name in ("imagenet", "imagenette2-160"):
        for part, each in (("train", 4), ("val", 2)):
            for k in range(2 * each):
                picture(root / name / part / classes[k % 2] / f"{k}.JPEG")
    tiny, lines = root / "tiny-imagenet-200", []
    for k in range(8):
        picture(tiny / f"train/n0{k % 2}/images/n0{k % 2}_{k}.JPEG", (64, 64))
    for k in range(4):
        picture(tiny / f"val/images/val_{k}.JPEG", (64, 64))
        lines.append(f"val_{k}.JPEG\tn0{k % 2}\t0\t32\t44\t62\n")
    (tiny / "val/val_annotations.txt").write_text("".join(lines))


def write_birds(root: Path) -> None:
    """CUB-200-2011: numbered lines in five tables."""
    tables: dict[str, list[str]] = {}
    for k in range(1, 15):
        picture(root / f"CUB_200_2011/images/001.Bird/{k}.jpg")
        tables.setdefault("images", []).append(f"{k} 001.Bird/{k}.jpg")
        tables.setdefault("image_class_labels", []).append(f"{k} {1 + k % 2}")
        tables.setdefault("train_test_split", []).append(f"{k} {int(k <= 8)}")
        tables.setdefault("bounding_boxes", []).append(f"{k} 10.0 8.0 20.0 12.0")
    for name, lines in tables.items():
        (root / f"CUB_200_2011/{name}.txt").write_text("\n".join(lines) + "\n")


def write_objects(root: Path) -> None:
    """VOC of both years and COCO, two objects a picture."""
    for year, parts in (("2007", ("trainval", "test")), ("2012", ("trainval",))):
        for part in parts:
            names = [f"{part}{k}" for k in range(8)]
            for name in names:
                base = root / f"voc/VOCdevkit/VOC{year}"
                picture(base / f"JPEGImages/{name}.jpg")
                objects = "".join(f"<object><name>{kind}</name></object>" for kind in ("dog", "person"))
                (base / "Annotations").mkdir(exist_ok=True)
                (base / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
            (base / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
            (base / f"ImageSets/Main/{part}.txt").write_text("\n".join(names) + "\n")
    (root / "coco/annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        images = [{"id": k, "file_name": f"{k}.jpg", "width": 40, "height": 36} for k in range(10)]
        for image in images:
            picture(root / f"coco/{part}/{image['file_name']}")
        boxes = [
            {"id": 2 * k + j, "image_id": k, "category_id": 1 + (k + j) % 3}
            for k in range(10)
            for j in (0, 1)
        ]
        kinds = [{"id": k, "name": f"kind {k}"} for k in range(1, 81)]
        body = {"images": images, "annotations": boxes, "categories": kinds}
        (root / f"coco/annotations/instances_{part}.json").write_text(json.dumps(body))
