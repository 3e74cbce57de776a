"""The report of a judgement: one self-contained page, and the same as JSON."""

from tasks.judging.report.report import render_baseline, render_report

__all__ = ["render_baseline", "render_report"]
