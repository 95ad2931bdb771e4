"""How good is a network? Accuracy and calibration, out-of-distribution, corrupted and mixed images."""

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.measure.attacks import attacked, fgsm, pgd
from mixlearn.measure.between import Between, between
from mixlearn.measure.corruptions import (
    COMMON,
    brightness,
    contrast,
    corrupt,
    defocus_blur,
    elastic_transform,
    fog,
    frost,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    jpeg_compression,
    motion_blur,
    pixelate,
    shot_noise,
    snow,
    zoom_blur,
)
from mixlearn.measure.evaluate import (
    CorruptedSets,
    Prediction,
    Robustness,
    corrupted,
    evaluate,
    predict,
    robustness,
)
from mixlearn.measure.features import Nearest, Plane, features_of, knn_accuracy, nearest, principal_plane
from mixlearn.measure.localize import Localization, activations, localization, spread_boxes
from mixlearn.measure.metrics import (
    Calibration,
    Multilabel,
    Quality,
    calibration,
    common_mistakes,
    multilabel,
    prediction_quality,
)
from mixlearn.measure.mixtures import Behaviour, LabelNoise, label_noise, probe, visible
from mixlearn.measure.outside import Detection, confidence, detection, noise_images, out_of_distribution

__all__ = [
    "Behaviour", "Between", "COMMON", "Calibration", "CorruptedSets", "Detection", "LabelNoise",
    "Localization", "Multilabel", "Nearest", "Plane", "Prediction", "Quality", "Robustness",
    "activations", "attacked", "between", "brightness", "calibration", "common_mistakes", "confidence",
    "contrast", "corrupt", "corrupted", "defocus_blur", "detection", "elastic_transform", "evaluate",
    "features_of", "fgsm", "fog", "frost", "gaussian_noise", "glass_blur", "impulse_noise",
    "jpeg_compression", "knn_accuracy", "label_noise", "localization", "motion_blur", "multilabel",
    "nearest", "noise_images", "out_of_distribution", "pgd", "pixelate", "predict", "prediction_quality",
    "principal_plane", "probe", "robustness", "shot_noise", "snow", "spread_boxes", "visible", "zoom_blur",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    gone = ("hide", "in_between", "middle", "occlusion")
    return moved(name, __name__, dict.fromkeys(gone, "experiments.hidden"))
