"""The base of every record that is written to the store: frozen, closed, and read back strictly."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record; unknown keys are refused, so that a typo never passes for a setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")
