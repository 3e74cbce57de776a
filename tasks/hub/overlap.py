"""Texts that are used twice: an engine must not be judged on the texts that it was calibrated with. Pure."""

from collections.abc import Iterable

from tasks.errors import TextsInvalid
from tasks.hub.texts import Text


def refuse_overlap(calibration: Iterable[Text], heldout: Iterable[Text], variant: str) -> None:
    """Refuse calibration texts that are among the held-out ones, whatever their ids and white space.

    Raises:
        TextsInvalid: at least one text is in both.
    """
    judged = {_content(text): text.id for text in heldout}
    both = [(text.id, judged[_content(text)]) for text in calibration if _content(text) in judged]
    if both:
        (own, other), count = both[0], len(both)
        raise TextsInvalid(
            f"{count} of the texts that calibrate variant {variant} are held-out texts as well: {own!r} is "
            f"{other!r}",
            where="quantization.calibration and validation.accuracy",
            fix="choose splits or datasets that have no text in common: an engine that is judged on texts it "
            "was calibrated with looks better than it is",
        )


def _content(text: Text) -> str:
    return " ".join(text.text.split())
