"""How good is a network? Accuracy, likelihood and calibration on images that nothing has mixed."""

from mixlearn.measure.calibration import Calibration, calibration
from mixlearn.measure.evaluate import Prediction, evaluate, predict

__all__ = ["Calibration", "Prediction", "calibration", "evaluate", "predict"]
