"""`vaelab doctor`: diagnosis of a run, data set or loss, with remedies."""

from vaelab.doctor.examine_data import examine_data
from vaelab.doctor.examine_loss import examine_loss
from vaelab.doctor.examine_run import examine_run
from vaelab.doctor.findings import Evidence, Finding, Report
from vaelab.utils.callable_package import make_callable

__all__ = ["Evidence", "Finding", "Report", "examine_data", "examine_loss", "examine_run"]

make_callable(__name__, "vaelab.verbs.doctor:doctor")
