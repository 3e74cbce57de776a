"""Speculative decoding: several tokens are drafted cheaply, and the model checks all of them in one step.

Greedy answers stay what the model says by itself: a drafted token that is not the model's own choice is
thrown away. So the gates of accuracy judge such an engine like any other.
"""

from pydantic import Field

from engine_specs.reading import Repo, Revision, StrictFrozen
from engine_specs.tables import SpeculativeMethod


class Draft(StrictFrozen):
    """The checkpoint that drafts, on the Hub, pinned."""

    repo: Repo = Field(description="Model repository on the Hub, such as owner/name.")
    revision: Revision = Field(description="Commit: 40 hexadecimal digits.")

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repo}@{self.revision}"


class Speculative(StrictFrozen):
    """How tokens are drafted."""

    method: SpeculativeMethod = Field(
        description="ngram: from the text so far; mtp: by layers of the checkpoint itself; eagle3: by a head "
        "that was trained for the checkpoint; draft_model: by a smaller model with the same vocabulary."
    )
    draft: Draft | None = Field(
        default=None, description="The checkpoint that drafts, for methods eagle3 and draft_model."
    )
    tokens: int = Field(ge=1, le=64, description="Tokens that are drafted for each step of a sequence.")

    def text(self) -> str:
        """Return all of it in one phrase."""
        drafted = f", draft {self.draft.name}" if self.draft else ""
        return f"{self.method}, {self.tokens} tokens{drafted}"
