"""Judgement of a run on held-out data: every figure with its standard error."""

from vaelab.evaluation.evaluate import Evaluation, evaluate_run
from vaelab.evaluation.settings import Settings

__all__ = ["Evaluation", "Settings", "evaluate_run"]
