"""Actions: the record of what a stage made, which lets an equal fingerprint reuse the result.

Invariants:
- The fingerprint is the digest of the document in the same record, so that a miss can be explained field by
  field.
- Paths, times and host names are kept next to the document, never in it.
"""

from typing import Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from artifacts.canonical import Digest, digest_of
from artifacts.frozen import Frozen


class Action(Frozen):
    """One run of one stage: the tree that it made, and how."""

    stage: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Name of the stage.")
    fingerprint: Digest = Field(description="Digest of `document`.")
    document: dict[str, JsonValue] = Field(description="Everything that the result depends on.")
    spec: str = Field(description="Name of the spec that asked for it first.")
    variant: str = Field(description="Name of the variant that asked for it first.")
    tree: Digest = Field(description="Digest of the tree that the stage made.")
    metrics: dict[str, JsonValue] = Field(default={}, description="Figures that the stage reported.")
    tools: dict[str, str] = Field(default={}, description="Versions of the tools that took part.")
    duration_s: float = Field(ge=0, description="Wall time of the stage, in seconds.")
    host: str = Field(description="Name of the host that ran it.")
    created_at: AwareDatetime = Field(description="When the stage ended, with time zone.")

    @model_validator(mode="after")
    def _fingerprint_is_of_document(self) -> Self:
        if (actual := digest_of(self.document)) != self.fingerprint:
            raise ValueError(f"fingerprint {self.fingerprint} is not the digest of its document, {actual}")
        return self


class LatestAction(Frozen):
    """The action that a (spec, variant, stage) used last; a later miss is explained by comparing with it."""

    spec: str = Field(description="Name of the spec.")
    variant: str = Field(description="Name of the variant.")
    stage: str = Field(description="Name of the stage.")
    fingerprint: Digest = Field(description="Fingerprint of the action.")
