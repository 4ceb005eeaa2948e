"""`vaelab evaluate RUN`: every figure of a run on data it never saw, with its standard error."""

from vaelab.apps.evaluate.command import evaluate
from vaelab.apps.evaluate.judge import Judgement, judge
from vaelab.apps.evaluate.settings import Settings

__all__ = ["Judgement", "Settings", "evaluate", "judge"]
