"""What is compared, an estimate with its bounds, and quantiles of what was timed."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen

Metric = Literal["goodput_per_device", "throughput_per_device"]


class Interval(Frozen):
    """An estimate with two one-sided bounds, each of the stated confidence."""

    estimate: float
    lower: float
    upper: float
    confidence: float = Field(description="Confidence of each bound taken alone.")

    def text(self, pattern: str = "{:.3f}") -> str:
        """Write the interval as text, such as `1.243 [1.201, 1.287]`."""
        estimate, lower, upper = (pattern.format(value) for value in (self.estimate, self.lower, self.upper))
        return f"{estimate} [{lower}, {upper}]"


class Quantiles(Frozen):
    """Nearest-rank quantiles of a pooled sample."""

    count: int = Field(ge=1)
    mean: float
    p50: float
    p90: float
    p99: float


class Bounds(Frozen):
    """One-sided bounds of a quantile."""

    lower: float
    upper: float | None = Field(description="Null if there are too few requests for one.")


class BoundedQuantiles(Quantiles):
    """Quantiles with bounds that hold although requests wait for each other."""

    confidence: float = Field(description="Confidence of each upper bound; lower ones share the error.")
    bounds: tuple[Bounds, Bounds, Bounds] = Field(description="Those of p50, p90 and p99.")

    @property
    def p99_bounds(self) -> Bounds:
        """The bounds of the quantile that an objective limits."""
        return self.bounds[2]
