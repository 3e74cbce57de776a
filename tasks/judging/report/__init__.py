"""The report of a judgement: one self-contained page, the same as JSON, compared with the last release."""

from tasks.judging.report.last_release import last_release
from tasks.judging.report.report import render_baseline, render_report

__all__ = ["last_release", "render_baseline", "render_report"]
