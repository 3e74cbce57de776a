"""Judging kept evidence again, and comparing the result with what was published, to the digit. Pure.

Compared are the release with its evidence, the summaries that the measurement holds with its samples, and
what this judge makes of the samples with what the judge made of them then.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from artifacts.canonical import canonical_bytes
from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen
from artifacts.releases import VariantRelease
from artifacts.store import Measurement
from tasks.errors import ProtocolsDiffer
from tasks.evidence import conclusion
from tasks.evidence.judge_version import JudgeVersion, this_judge
from tasks.evidence.kept_evidence import KeptEvidence
from tasks.evidence.speeds import JudgedSpeed, speed_of_baseline, speed_of_engine
from tasks.judging import JudgingProtocol
from tasks.judging.decide import BaselineTerms
from tasks.judging.gates import Terms

Said = Literal["same", "changed", "other-judge"]
RecordT = TypeVar("RecordT", bound=BaseModel)
MISSING = "nothing"


class Recomputed(Frozen):
    """What judging a variant again has shown."""

    variant: str = Field(description="Name of the variant.")
    verdict: str = Field(description="Its verdict, as it was kept.")
    compared: int = Field(ge=0, description="Numbers and words that were compared.")
    changed: tuple[str, ...] = Field(
        description="Differences that no version of the judge explains: evidence or release was changed."
    )
    differing: tuple[str, ...] = Field(description="What this judge makes differently of the same samples.")
    judged_by: JudgeVersion = Field(description="The version that judged.")
    this: JudgeVersion = Field(description="The version that judged again.")

    @property
    def said(self) -> Said:
        """Whether all is the same, evidence or release was changed, or another judge may explain it."""
        if self.changed or (self.differing and self.judged_by.is_the_same(self.this)):
            return "changed"
        return "other-judge" if self.differing else "same"


def recompute(entry: VariantRelease, kept: KeptEvidence, speed: JudgedSpeed) -> Recomputed:
    """Judge the evidence for a variant again; `entry` is what its release, or its kept verdict, says."""
    judgement = kept.judgement
    made: dict[str, Any] = {}
    try:
        made = _judge_again(kept, speed)
        held = {name: conclusion.held_by(one) for name, one in _measured(kept).items()}
        expected = {
            "conclusions": judgement.conclusions,
            "speed": speed.model_dump(mode="json"),
            "measurement": held,
        }
        differing = tuple(_differences("", expected, made))
    except (IntegrityError, ProtocolsDiffer, ValidationError) as error:
        differing = (f"the evidence cannot be judged: {error}",)
    return Recomputed(
        variant=entry.name,
        verdict=entry.verdict,
        compared=len(dict(_leaves("", made))),
        changed=tuple(_changed(entry, kept)),
        differing=differing,
        judged_by=judgement.judge,
        this=this_judge(),
    )


def _judge_again(kept: KeptEvidence, speed: JudgedSpeed) -> dict[str, Any]:
    """Return what this judge makes of the evidence, in the form in which it is compared."""
    judgement, versions = kept.judgement, _versions(speed)
    terms = _as(BaselineTerms, judgement.baseline_terms)
    made = {"baseline": conclusion.of_baseline(kept.baseline, terms)}
    if kept.measured is not None:
        protocol, priced = _as(JudgingProtocol, judgement.protocol), _as(Terms, judgement.terms)
        made["engine"] = conclusion.of_engine(kept.measured, protocol, priced)
        fast = speed_of_engine(kept.measured, kept.baseline, protocol, versions)
    else:
        fast = speed_of_baseline(kept.baseline, terms.workload, speed.metric, versions)
    derived = {
        name: {part: one[part] for part in conclusion.DERIVED if part in one} for name, one in made.items()
    }
    return {"conclusions": made, "speed": fast.model_dump(mode="json"), "measurement": derived}


def _changed(entry: VariantRelease, kept: KeptEvidence) -> Iterator[str]:
    """Yield where the release and its evidence contradict each other, whoever judges."""
    concluded = kept.judgement.conclusions
    last: dict[str, Any] = concluded.get("baseline" if kept.measured is None else "engine", {})
    verdict = last.get("verdict", {})
    said = {"verdict": entry.verdict, "reasons": entry.reasons, "measurements": entry.measurements}
    found = {
        "verdict": verdict.get("verdict", MISSING),
        "reasons": verdict.get("reasons", []),
        "measurements": list(kept.measurements),
    }
    for difference in _differences("", said, found):
        yield f"release and evidence contradict each other: {difference}"
    for name, one in _measured(kept).items():
        kept_digest = concluded.get(name, {}).get("samples")
        if kept_digest != conclusion.samples_digest(one):
            yield f"{name}: samples are not those that were judged"
    measured_under = kept.measured.document.get("protocol") if kept.measured else None
    if measured_under != last.get("protocol"):
        yield f"engine.protocol: measured under {measured_under}, judged by another one"


def _measured(kept: KeptEvidence) -> dict[str, Measurement]:
    named = {"baseline": kept.baseline, "engine": kept.measured}
    return {name: one for name, one in named.items() if one is not None}


def _versions(speed: JudgedSpeed) -> dict[str, str]:
    """Return the versions of tools, which no sample shows, as they were kept."""
    sides = (speed.reference, speed.engine)
    return {side.toolchain: side.version for side in sides if side is not None}


def _as(model: type[RecordT], plain: Any) -> RecordT:
    return model.model_validate_json(canonical_bytes(plain))


def _differences(where: str, kept: Any, made: Any) -> Iterator[str]:
    """Yield every number or word that differs, with its place."""
    before, after = dict(_leaves(where, kept)), dict(_leaves(where, made))
    for place in before | after:
        old, new = before.get(place, MISSING), after.get(place, MISSING)
        if old != new:
            yield f"{place}: kept {old}, computed {new}"


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{where}.{key}" if where else str(key), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(f"{where}[{index}]", inner)
    else:
        yield where, value
