"""What can be told of an application without a server: what it is, what will hurt, and whether it answers.

`examine` loads it once, compares the process before and after, looks through what it is made of, and asks it four
questions under strict callers. Knows neither terminal nor exit code; runs application code only to load and to probe.
"""

from bridge.doctor.examination import examine
from bridge.doctor.report import Hazard, Report

__all__ = ["Hazard", "Report", "examine"]
