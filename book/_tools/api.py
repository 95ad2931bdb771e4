"""The reference pages: every public name of the package, by page and group; their words are the docstrings."""

from __future__ import annotations

import inspect
from functools import cache, cached_property, reduce
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import toc

# in the order in which a learner meets them; a module stands for all its names
PAGES = {
    "methods": {
        "Blends, boxes and grids": "mixup cutout cutmix resizemix gridmix"
        " ricap hmix",
        "Clouds and spots": "fmix smoothmix gmix",
    },
    "scenes": {
        "Chosen partners": "kmixup cmixup",
        "Detection and segmentation": "mosaic copy_paste classmix cutmix_seg"
        " cowmix",
        "Uneven classes": "remix unimix balanced_partner",
    },
    "saliency": {
        "Saliency maps": "spectral_residual gradient_saliency"
        " feature_attention",
        "Masks that look at the image": "saliencymix attentivemix snapmix"
        " guidedmixup puzzlemix comixup",
    },
    "features": {
        "Features and attention": "alignmix transmix smmix moex mixstyle",
        "Learned masks": "MixBlock mask_loss",
        "Patches and contrast": "patchmix contrastive_loss",
    },
    "plans": {
        "Plans": "MixPlan Mixed BoxPlan PatchPlan",
        "Draws": "sample_lam sample_partner sample_boxes sample_squares",
        "Boxes and patches": "box_area boxes_to_masks masks_to_boxes"
        " patchify unpatchify",
    },
    "labels": {
        "Labels": "one_hot smooth clean_probability refine_labels",
        "Losses and accuracy": "soft_cross_entropy pair_cross_entropy"
        " soft_bce mixed_accuracy segmentation_consistency",
        "Object boxes": "mix_objects Objects",
    },
    "loops": {
        "In a loop or a loader": "RandomMix MixCollate DetectionCollate"
        " YoloCollate",
        "With Lightning": "lightning",
    },
    "data": {
        "Data sets": "data.load data.about data.names data.Data data.ImageSet"
        " data.DamagedFile",
        "Photographs and scenes": "data.photos data.Photos"
        " data.scenes.emoji_scenes data.scenes.Scenes",
        "Augmentation": "augment augmix pixmix",
    },
    "nets": {
        "Networks": "nets.resnet nets.ResNet nets.vit nets.ViT nets.mlp"
        " nets.MLP nets.Tapped nets.Tap",
        "Parts": "nets.cifar_stem nets.strided_stem nets.imagenet_stem"
        " nets.StochasticDepth nets.ShakeDrop nets.parameter_count",
    },
    "train": {
        "Training": "fit train.fit.History",
        "Schedules": "train.schedules.constant train.schedules.cosine"
        " train.schedules.steps train.schedules.one_cycle"
        " train.schedules.WithDecay train.schedules.Pace",
        "Fine-tuning": "train.finetune.linear_layer"
        " train.finetune.with_new_head train.finetune.LayerDecay"
        " train.finetune.layer_groups",
    },
    "learners": {
        "Classifiers": "learners.Plain learners.Mixing learners.MixingInside"
        " learners.Guided learners.TransMixing learners.RegMixup"
        " learners.Decoupled learners.AugMix learners.SMMix",
        "Few labels": "learners.ICT learners.MixMatch",
        "Your own": "learners.Learner",
    },
    "learners_more": {
        "Learned masks": "learners.AutoMix learners.SAMix learners.AdAutoMix",
        "Self-distillation": "learners.MixSKD learners.DDGSD",
        "Contrastive learning": "learners.PatchMix learners.MoCo"
        " learners.SimCLR learners.Contrast",
    },
    "measure": {
        "Accuracy": "measure.evaluate measure.predict measure.Prediction"
        " measure.multilabel measure.Multilabel",
        "Confidence": "measure.calibration measure.Calibration"
        " measure.prediction_quality measure.Quality measure.common_mistakes"
        " measure.confidence",
        "Out-of-distribution images": "measure.out_of_distribution"
        " measure.detection measure.Detection measure.noise_images",
        "Features": "measure.features_of measure.knn_accuracy measure.nearest"
        " measure.Nearest",
    },
    "measure_mixing": {
        "Mixtures": "measure.probe measure.Behaviour measure.label_noise"
        " measure.LabelNoise measure.visible measure.between measure.Between",
        "Where a network looks": "measure.activations measure.localization"
        " measure.Localization measure.spread_boxes",
        "Planes of features": "measure.principal_plane measure.Plane",
    },
    "robustness": {
        "Corrupted images": "measure.robustness measure.Robustness"
        " measure.CorruptedSets measure.corrupted measure.corrupt"
        " measure.COMMON",
        "The corruptions": "measure.gaussian_noise measure.shot_noise"
        " measure.impulse_noise measure.defocus_blur measure.glass_blur"
        " measure.motion_blur measure.zoom_blur measure.snow measure.frost"
        " measure.fog measure.brightness measure.contrast"
        " measure.elastic_transform measure.pixelate"
        " measure.jpeg_compression",
        "Attacks": "measure.attacked measure.fgsm measure.pgd",
    },
    "figures": {
        "Images": "figures.images figures.batch figures.plan",
        "Networks": "figures.boundary figures.reliability figures.between",
        "Runs and numbers": "figures.dots figures.curves figures.bars"
        " figures.differences figures.Cell",
        "Tables": "figures.table figures.records figures.gains figures.Table",
        "Look": "figures.Picture figures.style",
    },
    "runs": {
        "Run records": "runs",
        "The recorded film of masks": "page.film.recorded_block"
        " page.film.film_facts",
    },
    "widgets": {
        "Widgets": "widgets",
        "What the loss ledger shows": "page.ledger.arrows page.ledger.learning"
        " page.ledger.Arrow page.ledger.effects page.ledger.Effect"
        " page.ledger.parts_of",
    },
    "course": {"Coursework": "course"},
}
MIXING = " ".join(
    [
        *PAGES["methods"].values(),
        PAGES["scenes"]["Detection and segmentation"],
        "kmixup cmixup remix unimix",
        PAGES["saliency"]["Masks that look at the image"],
        "alignmix transmix smmix moex mixstyle MixBlock patchmix augmix",
        "pixmix",
    ]
).replace(" Objects", "")
DERIVED = {  # where the book derives them
    "02_mixup": "mixup sample_lam sample_partner soft_cross_entropy"
    " pair_cross_entropy mixed_accuracy widgets.lambda_mixer"
    " widgets.beta_explorer",
    "02_mixup_details": "smooth soft_bce",
    "02_mixup_results": "measure.calibration figures.reliability"
    " figures.boundary measure.predict",
    "01_why_mix": "RandomMix MixCollate MixPlan boxes_to_masks"
    " lightning.MixBatches widgets.plane_lab learners.Plain learners.Mixing"
    " fit nets.mlp figures.plan",
    "03_cutmix": "cutmix cutout sample_boxes box_area widgets.box_lab",
    "03_cutmix_bugs": "measure.probe masks_to_boxes",
    "03_cutmix_results": "measure.corrupt",
    "04_masks": "resizemix gridmix fmix smoothmix widgets.mask_studio",
    "04_saliency": "saliencymix attentivemix snapmix puzzlemix comixup"
    " spectral_residual gradient_saliency feature_attention learners.Guided",
    "04_masks_results": "measure.label_noise measure.visible",
    "04_features": "alignmix transmix moex mixstyle learners.MixingInside"
    " learners.TransMixing smmix learners.SMMix",
    "05_automix": "MixBlock mask_loss learners.AutoMix widgets.mask_film"
    " page.film.recorded_block page.film.film_facts",
    "05_automix_details": "learners.SAMix learners.AdAutoMix",
    "06_mixskd": "learners.MixSKD measure.between figures.between"
    " widgets.loss_ledger",
    "06_mixskd_details": "learners.DDGSD",
    "07_patchmix": "patchmix patchify unpatchify contrastive_loss"
    " learners.PatchMix measure.features_of measure.knn_accuracy"
    " measure.nearest widgets.patch_groups augment.contrastive_view",
    "gallery": "ricap hmix gmix augmix pixmix kmixup guidedmixup",
    "08_measuring": "measure.prediction_quality measure.common_mistakes"
    " measure.multilabel widgets.bins_lab",
    "08_robustness": "measure.robustness measure.CorruptedSets"
    " measure.attacked measure.fgsm measure.pgd measure.detection"
    " measure.out_of_distribution",
    "08_representations": "measure.activations measure.spread_boxes"
    " measure.principal_plane measure.localization",
    "10_scenes": "mix_objects mosaic copy_paste classmix cutmix_seg cowmix"
    " segmentation_consistency DetectionCollate YoloCollate"
    " data.scenes.emoji_scenes widgets.mosaic_lab",
    "10_labels": "learners.ICT learners.MixMatch clean_probability"
    " refine_labels remix unimix balanced_partner",
    "10_other": "cmixup",
    "07_patchmix_details": "train.finetune.linear_layer"
    " train.finetune.with_new_head train.finetune.LayerDecay",
}
WHERE = {
    name: page for page, names in DERIVED.items() for name in names.split()
}
USED = [  # rather than derived
    *("fit", "RandomMix", "MixCollate", "boxes_to_masks"),
    *("learners.Plain", "learners.Mixing"),
]
DATA = {  # what is neither class nor function has no docstring
    "measure.COMMON": "The fifteen corruptions of `robustness`, in the"
    " published order, noise, blur, weather, digital.",
    "nets.Tap": "The type of a tap. `tap(name, features)` sees the features"
    " of a stage and returns those that go on.",
}


def value_of(name: str) -> Any:
    """What a name such as "mixup", "nets.resnet" or "train.fit.History" stands for."""
    head, *rest = name.split(".")
    if head in ("train", "page") or name.startswith("data.scenes"):
        *modules, last = name.split(".")
        return getattr(import_module(".".join(["mixlearn", *modules])), last)
    return reduce(getattr, rest, getattr(import_module("mixlearn"), head))


def public(module: ModuleType) -> list[str]:
    """The names that a module offers: its `__all__`, else the classes and functions that it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)

    def own(value: Any) -> bool:
        is_one = inspect.isclass(value) or inspect.isfunction(value)
        return is_one and value.__module__ == module.__name__

    found = vars(module).items()
    return [name for name, value in found if name[0] != "_" and own(value)]


def names_in(group: str) -> list[str]:
    """The names of a group, its modules spelled out."""
    found = []
    for name in group.split():
        value = value_of(name)
        inner = public(value) if isinstance(value, ModuleType) else None
        found += (
            [name] if inner is None else [f"{name}.{one}" for one in inner]
        )
    return found


@cache
def entries() -> list[str]:
    """Every name on the reference pages."""
    groups = [group for page in PAGES.values() for group in page.values()]
    return [name for group in groups for name in names_in(group)]


def members(kind: type) -> list[str]:
    """The documented methods and properties of a class itself; fields are in its own text."""

    def shown(name: str, value: Any) -> bool:
        value = getattr(value, "__func__", value)
        kinds = (FunctionType, property, cached_property)
        named = name[0] != "_" or name == "__call__"
        known = isinstance(value, kinds) and value.__doc__
        return named and name != "extra_repr" and bool(known)

    return [name for name, value in vars(kind).items() if shown(name, value)]


def directive(name: str) -> str:
    """What documents one name, with a link to the page of the book that derives or uses it."""
    value, room = value_of(name), name.rpartition(".")[0]
    same = [one for one in entries() if value_of(one) is value]
    named = [one for one in same if one.endswith(f".{name.split('.')[-1]}")]
    lines = [f".. autofunction:: mixlearn.{name}", ""]
    if name in DATA:
        lines = [f".. autodata:: mixlearn.{name}", "   :no-value:", ""]
    elif named and named[0] != name:  # autodoc would describe it twice
        other = f":py:class:`mixlearn.{named[0]}`"
        lines = [
            f".. py:class:: mixlearn.{name}",
            "",
            f"   Another name of {other}.",
            "",
        ]
    elif inspect.isclass(value):
        kind = "exception" if issubclass(value, Exception) else "class"
        lines = [f".. auto{kind}:: mixlearn.{name}", ""]
        if inner := members(value):
            lines[1:1] = [f"   :members: {', '.join(inner)}"]
        if "__call__" in inner:
            lines[1:1] = ["   :special-members: __call__"]
    if where := WHERE.get(name):
        used = name in USED or room not in ("", "learners")
        link = f":doc:`{toc.titles()[where]} </{where}>`"
        how = f"{'Used' if used else 'Derived'} in chapter"
        how = "Shown in" if where == "gallery" else how
        lines += [f"   {how} {link}.", ""]
    return "\n".join(lines)


def mixing() -> str:
    """A table of the functions and blocks that mix, with their summaries and chapters, in Markdown."""
    rows = ["* - Function\n  - What it does\n  - Chapter"]
    for name in MIXING.split():
        text = (inspect.getdoc(value_of(name)) or "").splitlines()[0]
        where = WHERE[name]
        chapter = f"[{toc.titles()[where]}]({where}.ipynb)"
        link = f"{{py:obj}}`ml.{name} <mixlearn.{name}>`"
        rows.append(f"* - {link}\n  - {text}\n  - {chapter}")
    options = ":header-rows: 1\n:widths: 28 48 24"
    return "\n".join([f":::{{list-table}}\n{options}\n", *rows, ":::"])


def page(name: str) -> str:
    """A reference page below its first words: tables of names with their summaries, then the entries."""
    if name == "api":
        return mixing()
    tables, parts = ["```{eval-rst}", ".. currentmodule:: mixlearn", ""], []
    for title, group in PAGES[name].items():
        names = names_in(group)
        head = [
            f"**{title}**",
            "",
            ".. autosummary::",
            "   :nosignatures:",
            "",
        ]
        tables += [*head, *(f"   {one}" for one in names), ""]
        entry = "\n".join(map(directive, names))
        parts.append(f"## {title}\n\n```{{eval-rst}}\n{entry}\n```\n")
    return "\n".join([*tables, "```", "", *parts])
