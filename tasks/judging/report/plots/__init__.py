"""The plots of the report, as inline SVG in the colours of the page; text stays text. Nothing is written."""

from tasks.judging.report.plots.limits import limits_plot
from tasks.judging.report.plots.load import load_curve, open_loop_plot
from tasks.judging.report.plots.money import map_plot
from tasks.judging.report.plots.region import region_maps
from tasks.judging.report.plots.regret import regret_by_context, regret_by_token
from tasks.judging.report.plots.rounds import latency_plot, ratio_plot

__all__ = [
    "latency_plot",
    "limits_plot",
    "load_curve",
    "map_plot",
    "open_loop_plot",
    "ratio_plot",
    "region_maps",
    "regret_by_context",
    "regret_by_token",
]
