"""`vaelab evaluate RUN`: every figure of a run on data it never saw, with its standard error."""

from vaelab.apps.evaluate.command import evaluate
from vaelab.apps.evaluate.judge import Judgement, Settings, judge

__all__ = ["Judgement", "Settings", "evaluate", "judge"]
