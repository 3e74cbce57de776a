"""The base of every record that is written to the store: frozen, closed, and read back strictly."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record.

    Unknown keys are refused, so that a typo never passes for a setting. So are NaN and infinity: JSON has
    neither, and a comparison such as `NaN < limit` is always false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
