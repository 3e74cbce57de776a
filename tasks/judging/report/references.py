"""What a report says about the references: who they are, and how the engine fared against each. Pure."""

from dataclasses import dataclass

from tasks.judging.judgement import JudgedResult
from tasks.judging.results import Interval, NotMeasured
from tasks.judging.statistics import point_ratio


@dataclass(frozen=True, slots=True)
class TimedReference:
    """One reference that was timed.

    Attributes:
        name: its name.
        roles: the roles in which it takes part, in words.
        rate: tokens per second and device within the objective.
        ratio: engine / reference.
        pairs: pairs that the ratio is of.
    """

    name: str
    roles: str
    rate: float
    ratio: Interval
    pairs: int


@dataclass(frozen=True, slots=True)
class UntimedReference:
    """One reference that was not timed, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """All references.

    Attributes:
        rows: those that were timed; the first one decides.
        untimed: the others.
    """

    rows: tuple[TimedReference, ...]
    untimed: tuple[UntimedReference, ...]


def reference_view(result: JudgedResult) -> ReferenceView:
    """Return what the report shows about the references of a judgement."""
    untimed = [UntimedReference(one, "shown not to be accurate enough") for one in result.disqualified]
    speed = result.measured.speed
    if isinstance(speed, NotMeasured):
        return ReferenceView((), tuple(untimed))
    rows = []
    roles = {one.name: ", ".join(one.roles) for one in result.protocol.references}
    for point in speed.deciding:
        ratio = point_ratio(point, result.protocol.speed)
        rate = point.reference.goodput_per_device.estimate
        name = point.reference.side
        rows.append(TimedReference(name, roles[name], rate, ratio.interval, len(ratio.log_ratios)))
    untimed += [UntimedReference(one.reference, one.reason) for one in speed.left_out]
    return ReferenceView(tuple(rows), tuple(untimed))
