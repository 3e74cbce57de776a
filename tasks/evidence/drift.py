"""Which side changed when the ratio of an engine to its reference did: the engine, or the reference. Pure.

Invariants:
- Speeds are compared only if host class, workload, metric and placement are equal; otherwise the reason why
  they are not is all that is said.
- A side has changed if its whole interval lies on one side of 1, and not all of it is negligible. It has
  not if the interval holds 1 and stays within the tolerance. Otherwise nobody can say.
"""

from collections.abc import Iterator, Sequence
from math import exp, hypot, sqrt
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.evidence.speeds import JudgedSpeed
from tasks.judging import Interval
from tasks.judging.statistics import change_interval
from tasks.runs import explain_difference

NEGLIGIBLE, TOLERANCE = 0.02, 0.10
"""Changes that count as none, whoever shows them; and the largest that an interval which holds 1 may hide."""
CONFIDENCE = 0.95

Kind = Literal["faster", "slower", "steady", "unclear"]


class Change(Frozen):
    """How one speed, or the ratio of both, has changed."""

    now_to_then: Interval = Field(description="Now / then.")

    @property
    def kind(self) -> Kind:
        """What the interval shows."""
        lower, upper = self.now_to_then.lower, self.now_to_then.upper
        allowed = TOLERANCE if lower <= 1 <= upper else NEGLIGIBLE
        if lower >= 1 - allowed and upper <= 1 + allowed:
            return "steady"
        if lower > 1:
            return "faster"
        return "slower" if upper < 1 else "unclear"

    def text(self, steady: str = f"did not change by more than {TOLERANCE:.0%}") -> str:
        """Write it as the rest of a sentence, with its interval."""
        estimate, lower, upper = (
            value - 1 for value in (self.now_to_then.estimate, self.now_to_then.lower, self.now_to_then.upper)
        )
        interval = f"[{lower:+.1%}, {upper:+.1%}]"
        return {
            "steady": f"{steady} {interval}",
            "faster": f"became {estimate:.1%} faster {interval}",
            "slower": f"became {-estimate:.1%} slower {interval}",
            "unclear": f"may have changed: {estimate:+.1%} {interval}",
        }[self.kind]


class Drift(Frozen):
    """What changed between two measurements."""

    since: str = Field(description="The earlier one: a release.")
    incomparable: str = Field(default="", description="Why speeds cannot be compared; empty if they can.")
    reference: Change | None = None
    engine: Change | None = Field(default=None, description="None if one of them timed no engine.")
    ratio: Change | None = Field(default=None, description="The same.")
    ratios: str = Field(default="", description="Both ratios, as text.")
    versions: tuple[str, ...] = Field(default=(), description="Versions and configurations that changed.")

    def text(self) -> str:
        """Write it in sentences."""
        if self.incomparable:
            return f"Not comparable with {self.since}: {self.incomparable}."
        said = [f"the reference {self.reference.text()}"] if self.reference else []
        said += [f"the engine {self.engine.text()}"] if self.engine else []
        ratio = f" The ratio was {self.ratios}." if self.ratios else ""
        changed = f" Changed meanwhile: {'; '.join(self.versions)}." if self.versions else ""
        return f"Since {self.since}, {', and '.join(said)}.{ratio}{changed}"


def drift_between(then: JudgedSpeed, now: JudgedSpeed, *, since: str) -> Drift:
    """Return what changed from one measurement to a later one; `since` names the earlier one."""
    if reasons := list(_incomparable(then, now)):
        return Drift(since=since, incomparable="; ".join(reasons))
    # Half of the variance of a ratio is that of either side.
    of_ratio = hypot(then.start_spread, now.start_spread)
    of_side = of_ratio / sqrt(2)
    reference = _change(then.reference.rates, now.reference.rates, of_side)
    engine = ratio = None
    if then.engine and now.engine:
        engine = _change(then.engine.rates, now.engine.rates, of_side)
    ratios = ""
    if then.ratio and now.ratio:
        before, after = ([exp(one) for one in speed.log_ratios] for speed in (then, now))
        ratio = _change(before, after, of_ratio)
        ratios = f"{then.ratio.text()}, and is {now.ratio.text()} now"
    return Drift(
        since=since,
        reference=reference,
        engine=engine,
        ratio=ratio,
        ratios=ratios,
        versions=tuple(_changed(then, now)),
    )


def _change(then: Sequence[float], now: Sequence[float], start_spread: float) -> Change:
    found = change_interval(then, now, confidence=CONFIDENCE, start_spread=start_spread)
    return Change(now_to_then=found)


def _incomparable(then: JudgedSpeed, now: JudgedSpeed) -> Iterator[str]:
    if then.host != now.host:
        yield f"another class of host ({', '.join(explain_difference(then.host, now.host))})"
    if then.source != now.source:
        yield f"one is a {then.source}, the other a {now.source}"
    if (then.workload, then.metric) != (now.workload, now.metric):
        yield "another workload or metric"
    if then.placement != now.placement:
        yield f"sides ran {then.placement} then, and {now.placement} now"
    if then.quiet_host != now.quiet_host:
        yield "only one of them required a quiet host"


def _changed(then: JudgedSpeed, now: JudgedSpeed) -> Iterator[str]:
    """Yield versions and configurations that differ."""
    if then.reference.name != now.reference.name:
        yield f"the fastest reference, {then.reference.name} -> {now.reference.name}"
    for role, old, new in (
        ("reference", then.reference, now.reference),
        ("engine", then.engine, now.engine),
    ):
        if old and new and old.toolchain != new.toolchain:
            yield f"{role}: {old.toolchain} ({old.version}) -> {new.toolchain} ({new.version})"
        elif old and new and old.version != new.version:
            yield f"{role}: {old.version} -> {new.version}"
