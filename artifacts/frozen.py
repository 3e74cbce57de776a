"""The base of every record that is written to the store: frozen, closed, and read back strictly."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record.

    Unknown keys are refused, so that a typo never passes for a setting, and so are NaN and infinity: JSON has
    neither, and a comparison with NaN is never true, whatever it was meant to show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
