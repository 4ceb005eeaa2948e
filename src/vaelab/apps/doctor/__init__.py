"""`vaelab doctor`: what is wrong with a run, data, or somebody else's loss, and what to do."""

from vaelab.apps.doctor.findings import Evidence, Finding, Report
from vaelab.apps.doctor.of_data import examine_data
from vaelab.apps.doctor.of_loss import examine_loss
from vaelab.apps.doctor.of_run import examine_run

__all__ = ["Evidence", "Finding", "Report", "examine_data", "examine_loss", "examine_run"]
