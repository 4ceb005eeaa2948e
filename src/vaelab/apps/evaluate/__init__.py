"""`vaelab evaluate RUN`: every figure of a run on data it never saw, with its standard error."""

from vaelab.apps.evaluate.command import evaluate
from vaelab.apps.evaluate.judge import Evaluation, evaluate_run
from vaelab.apps.evaluate.settings import Settings

__all__ = ["Evaluation", "Settings", "evaluate", "evaluate_run"]
