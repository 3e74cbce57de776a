"""Evidence as a tree in the store: compressed JSON, put there when a verdict is reached, and read back.

    baseline.json.gz     the measurement of vLLM alone, with all samples
    measured.json.gz     the comparison, with all samples; missing if the baseline sufficed
    judgement.json.gz    by what rules they were judged, and what the judge made of them
    speed.json           how fast both sides were

Invariants:
- Equal measurements have equal bytes, so that releases judged by one measurement share its blob.
"""

import gzip
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError

from artifacts.canonical import canonical_bytes
from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen
from artifacts.store import Measurement, Store
from tasks.evidence import conclusion
from tasks.evidence.judge_version import JudgeVersion, this_judge
from tasks.evidence.speeds import JudgedSpeed, speed_of_baseline, speed_of_engine
from tasks.judging import JudgingProtocol
from tasks.judging.decide import BaselineTerms
from tasks.judging.gates import Terms
from tasks.judging.results import Metric

BASELINE_FILE, MEASURED_FILE, JUDGEMENT_FILE = "baseline.json.gz", "measured.json.gz", "judgement.json.gz"
SPEED_FILE = "speed.json"

RecordT = TypeVar("RecordT", bound=BaseModel)


class Judgement(Frozen):
    """By what rules measurements were judged, and what came of it.

    Rules and conclusion are plain JSON, so that another version of the judge can read and compare them.
    """

    format: Literal[1] = 1
    judge: JudgeVersion = Field(description="The version that judged.")
    baseline_terms: dict[str, JsonValue] = Field(description="Rules of the decision before compiling.")
    protocol: dict[str, JsonValue] | None = Field(
        default=None, description="What was asked of all sides; null if the baseline sufficed."
    )
    terms: dict[str, JsonValue] | None = Field(
        default=None, description="Prices and other terms of the comparison; null if there is none."
    )
    conclusions: dict[str, dict[str, JsonValue]] = Field(
        description="What the judge made of each measurement: `baseline` and, if there is one, `engine`."
    )


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """The content of an evidence tree, but for the small file of speeds.

    Attributes:
        judgement: rules and conclusion.
        baseline: the measurement of vLLM alone.
        measured: the comparison; None if the baseline sufficed.
    """

    judgement: Judgement
    baseline: Measurement
    measured: Measurement | None

    @property
    def measurements(self) -> tuple[str, ...]:
        """The ids of its measurements."""
        return tuple(one.id for one in (self.baseline, self.measured) if one is not None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence that is to be kept.

    Attributes:
        kept: measurements, rules and conclusion.
        speed: how fast both sides were.
    """

    kept: KeptEvidence
    speed: JudgedSpeed


def baseline_evidence(
    baseline: Measurement, terms: BaselineTerms, metric: Metric, versions: Mapping[str, str]
) -> Evidence:
    """Return the evidence for a verdict that was reached without an engine.

    `versions` are those of the tools that served, by name of their toolchain.
    """
    judgement = Judgement(
        judge=this_judge(),
        baseline_terms=terms.model_dump(mode="json"),
        conclusions={"baseline": conclusion.of_baseline(baseline, terms)},
    )
    speed = speed_of_baseline(baseline, terms.workload, metric, versions)
    return Evidence(KeptEvidence(judgement, baseline, None), speed)


def engine_evidence(
    baseline: Measurement,
    baseline_terms: BaselineTerms,
    measured: Measurement,
    protocol: JudgingProtocol,
    terms: Terms,
    versions: Mapping[str, str],
) -> Evidence:
    """Return the evidence for a verdict on an engine; `versions` as for `baseline_evidence`."""
    judgement = Judgement(
        judge=this_judge(),
        baseline_terms=baseline_terms.model_dump(mode="json"),
        protocol=protocol.model_dump(mode="json"),
        terms=terms.model_dump(mode="json"),
        conclusions={
            "baseline": conclusion.of_baseline(baseline, baseline_terms),
            "engine": conclusion.of_engine(measured, protocol, terms),
        },
    )
    speed = speed_of_engine(measured, baseline, protocol, versions)
    return Evidence(KeptEvidence(judgement, baseline, measured), speed)


def keep_evidence(store: Store, evidence: Evidence, *, recheck: bool = False) -> str:
    """Put evidence into the store, and return the digest of its tree; `recheck` as for `Store.put_tree`."""
    kept = evidence.kept
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / BASELINE_FILE).write_bytes(_packed(kept.baseline))
        (root / JUDGEMENT_FILE).write_bytes(_packed(kept.judgement))
        if kept.measured is not None:
            (root / MEASURED_FILE).write_bytes(_packed(kept.measured))
        (root / SPEED_FILE).write_bytes(canonical_bytes(evidence.speed))
        return store.put_tree(root, consume=True, recheck=recheck).digest


def read_evidence(store: Store, tree: str) -> KeptEvidence:
    """Return the evidence in a tree, verified.

    Raises IntegrityError if its bytes are damaged, or are not evidence; NotFound if there is no such tree.
    """
    there = {file.path for file in store.get_listing(tree).files}
    return KeptEvidence(
        judgement=_read(store, tree, JUDGEMENT_FILE, Judgement),
        baseline=_read(store, tree, BASELINE_FILE, Measurement),
        measured=_read(store, tree, MEASURED_FILE, Measurement) if MEASURED_FILE in there else None,
    )


def read_speed(store: Store, tree: str) -> JudgedSpeed:
    """Return how fast both sides were. Raises what `read_evidence` raises."""
    return store.read_document(tree, SPEED_FILE, JudgedSpeed)


def _packed(record: BaseModel) -> bytes:
    # Without a time, so that equal records have equal bytes.
    return gzip.compress(canonical_bytes(record), mtime=0)


def _read(store: Store, tree: str, path: str, model: type[RecordT]) -> RecordT:
    body = store.read_file(tree, path)
    try:
        return model.model_validate_json(gzip.decompress(body))
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise IntegrityError(
            f"{path} of evidence {tree} is not a readable {model.__name__}: {error}",
            where=str(store.bucket),
            fix="its bytes match the tree, so it was made like this, perhaps by a newer version of enginery: "
            "update this one",
        ) from error
