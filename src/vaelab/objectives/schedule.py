"""Schedules, where objectives look for them; parts of a model follow the same ones."""

from vaelab.walk.schedule import PROGRESS, Constant, Cycles, Rise, Schedule, as_schedule

__all__ = ["PROGRESS", "Constant", "Cycles", "Rise", "Schedule", "as_schedule"]
