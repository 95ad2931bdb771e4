"""How good is a network? Accuracy and calibration, foreign images, corrupted, hidden and mixed ones."""

from mixlearn.measure.attacks import attacked, fgsm, pgd
from mixlearn.measure.between import Between, between
from mixlearn.measure.calibration import Calibration, calibration
from mixlearn.measure.corruptions import COMMON, CorruptedSets, Robustness, corrupt, corrupted, robustness
from mixlearn.measure.evaluate import Prediction, evaluate, predict
from mixlearn.measure.hidden import hide, in_between, middle, occlusion
from mixlearn.measure.label_noise import LabelNoise, label_noise, visible
from mixlearn.measure.localize import Localization, activations, localization, spread_boxes
from mixlearn.measure.multilabel import Multilabel, multilabel
from mixlearn.measure.nearest import Nearest, knn_accuracy, nearest
from mixlearn.measure.noise_and_blur import (
    defocus_blur,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    motion_blur,
    shot_noise,
    zoom_blur,
)
from mixlearn.measure.outside import Detection, confidence, detection, noise_images, out_of_distribution
from mixlearn.measure.plane import Plane, features_of, principal_plane
from mixlearn.measure.quality import Quality, common_mistakes, prediction_quality
from mixlearn.measure.weather_and_digital import (
    brightness,
    contrast,
    elastic_transform,
    fog,
    frost,
    jpeg_compression,
    pixelate,
    snow,
)
from mixlearn.measure.whose import Behaviour, probe

__all__ = [
    "Behaviour",
    "Between",
    "COMMON",
    "Calibration",
    "CorruptedSets",
    "Detection",
    "LabelNoise",
    "Localization",
    "Multilabel",
    "Nearest",
    "Plane",
    "Prediction",
    "Quality",
    "Robustness",
    "activations",
    "attacked",
    "between",
    "brightness",
    "calibration",
    "common_mistakes",
    "confidence",
    "contrast",
    "corrupt",
    "corrupted",
    "defocus_blur",
    "detection",
    "elastic_transform",
    "evaluate",
    "features_of",
    "fog",
    "frost",
    "fgsm",
    "gaussian_noise",
    "glass_blur",
    "hide",
    "impulse_noise",
    "in_between",
    "jpeg_compression",
    "knn_accuracy",
    "label_noise",
    "localization",
    "middle",
    "motion_blur",
    "multilabel",
    "nearest",
    "noise_images",
    "occlusion",
    "out_of_distribution",
    "pgd",
    "pixelate",
    "predict",
    "prediction_quality",
    "principal_plane",
    "probe",
    "robustness",
    "shot_noise",
    "snow",
    "spread_boxes",
    "visible",
    "zoom_blur",
]
