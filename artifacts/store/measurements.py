"""Measurements: appended, never replaced; keyed by what was measured, how, and on which host class.

Unlike an action, a measurement may be made many times under one key; the caller decides how old one may be
before it is made again. Every look at one question spends a part of the permitted error: an inconclusive
measurement is kept, counts as an attempt, and is not repeated unless its budget grows.
"""

import uuid
from datetime import UTC, datetime
from typing import Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, JsonValue, ValidationError, model_validator

from artifacts.canonical import Digest, digest_of
from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen

MeasurementKind = Literal["baseline", "judged"]
RecordT = TypeVar("RecordT", bound=BaseModel)

ID_PATTERN = r"[0-9a-zA-Z-]+"


def new_id(now: datetime) -> str:
    """Return a unique id that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S%f}Z-{uuid.uuid4().hex[:8]}"


class Measurement(Frozen):
    """One measurement with everything that it is keyed by."""

    key: Digest = Field(description="Digest of `document`.")
    id: str = Field(pattern=f"^{ID_PATTERN}$", description="Unique, and sorts by time within a key.")
    kind: MeasurementKind = Field(description="What was measured.")
    document: dict[str, JsonValue] = Field(description="What it is keyed by: trees, protocol, host class.")
    result: dict[str, JsonValue] = Field(description="Results of the measurement.")
    created_at: AwareDatetime = Field(description="When it ended, with time zone.")
    device_s: float = Field(
        ge=0, description="Device time that it took: its duration times the number of devices it kept busy."
    )
    conclusive: bool = Field(description="Whether it answers its question.")
    attempt: int = Field(default=1, ge=1, description="How often its question was asked, this time included.")
    looked: bool = Field(
        default=True, description="Whether it looked at what decides; only then it counts as an attempt."
    )
    exhausted_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Its time budget, if it is inconclusive and only a larger one can change that.",
    )

    def result_as(self, model: type[RecordT]) -> RecordT:
        """Return the result as a record of this model; raise IntegrityError if it is not one."""
        try:
            return model.model_validate(self.result)
        except ValidationError as error:
            raise IntegrityError(
                f"the result of a measurement is not a readable {model.__name__}: {error}",
                where=f"measurements/{self.key}/{self.id}.json",
                fix="measure again: `enginery build SPEC --force`; it is damaged, or from another version of "
                "enginery",
            ) from error

    @model_validator(mode="after")
    def _key_is_of_document(self) -> Self:
        if (actual := digest_of(self.document)) != self.key:
            raise ValueError(f"key {self.key} is not the digest of its document, {actual}")
        return self


def new_measurement(
    kind: MeasurementKind,
    document: dict[str, JsonValue],
    result: dict[str, JsonValue],
    *,
    conclusive: bool,
    device_s: float,
    attempt: int = 1,
    looked: bool = True,
    exhausted_minutes: float | None = None,
) -> Measurement:
    """Return a measurement that was made just now, with its key and a new id."""
    now = datetime.now(UTC)
    return Measurement(
        key=digest_of(document),
        id=new_id(now),
        kind=kind,
        document=document,
        result=result,
        created_at=now,
        device_s=device_s,
        conclusive=conclusive,
        attempt=attempt,
        looked=looked,
        exhausted_minutes=exhausted_minutes,
    )
