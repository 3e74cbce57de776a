"""What a stage made of its inputs: the record that lets an equal fingerprint reuse the result.

Invariants:
- The fingerprint is the digest of the document that it stands beside, so that a miss can be explained
  field by field.
- Paths, times and host names stand beside the document, never in it.
"""

from typing import Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from artifacts.canonical import Digest, digest_of
from artifacts.frozen import Frozen


class Action(Frozen):
    """One run of one stage: the tree it made, and how."""

    stage: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Name of the stage.")
    fingerprint: Digest = Field(description="Digest of `document`.")
    document: dict[str, JsonValue] = Field(description="All that the result depends on.")
    spec: str = Field(description="Name of the spec that asked for it first.")
    variant: str = Field(description="Name of the variant that asked for it first.")
    tree: Digest = Field(description="Digest of the tree that the stage made.")
    metrics: dict[str, JsonValue] = Field(default={}, description="What the stage measured of itself.")
    tools: dict[str, str] = Field(default={}, description="Versions of the tools that took part.")
    duration_s: float = Field(ge=0, description="Wall time of the stage, in seconds.")
    host: str = Field(description="Name of the host that ran it.")
    created_at: AwareDatetime = Field(description="When it ended, with its time zone.")

    @model_validator(mode="after")
    def _fingerprint_is_of_document(self) -> Self:
        if (actual := digest_of(self.document)) != self.fingerprint:
            raise ValueError(f"fingerprint {self.fingerprint} is not the digest of its document, {actual}")
        return self


class LatestAction(Frozen):
    """Pointer to the action that a (spec, variant, stage) used last; a later miss is explained against it."""

    spec: str = Field(description="Name of the spec.")
    variant: str = Field(description="Name of the variant.")
    stage: str = Field(description="Name of the stage.")
    fingerprint: Digest = Field(description="Fingerprint of the action.")
