"""The report of a judgement: one page without outside resources, and a JSON twin."""

from tasks.judging.report.report import render_baseline, render_report

__all__ = ["render_baseline", "render_report"]
