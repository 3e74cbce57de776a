"""Text of a model as a person can read it: what has no shape of its own is written out. Pure.

Nothing is escaped here for HTML; the template does that.
"""

import unicodedata
from dataclasses import dataclass

from tasks.judging.results import Excerpt

NAMED = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡", "\ufffd": "�"}
# Pictures of the control characters 0 to 31.
CONTROL_PICTURES = 0x2400
# Categories of Unicode that a browser draws as nothing, as a gap, or as a change of direction.
SHAPELESS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
NO_TEXT = "(no text of its own)"


@dataclass(frozen=True, slots=True)
class ExcerptRow:
    """One departure, readable.

    Attributes:
        where: the text and the place in it.
        before: the end of what both sides had read there.
        engine: what the engine chose.
        reference: what the reference would have chosen.
        engine_id: its token id.
        reference_id: its token id.
        nats: the regret.
        gross: whether it is a gross error.
    """

    where: str
    before: str
    engine: str
    reference: str
    engine_id: int
    reference_id: int
    nats: str
    gross: bool


def excerpt_row(excerpt: Excerpt, *, cap_nats: float) -> ExcerptRow:
    """Return a departure as the report shows it."""
    departure = excerpt.departure
    return ExcerptRow(
        where=f"text {excerpt.sample_id}, token {departure.index + 1} after {excerpt.context_tokens}",
        before=visible(excerpt.before),
        engine=visible_token(excerpt.engine_text),
        reference=visible_token(excerpt.reference_text),
        engine_id=departure.engine_token,
        reference_id=departure.reference_token,
        nats=f"{departure.regret_nats:.4f}",
        gross=departure.regret_nats > cap_nats,
    )


def visible(text: str) -> str:
    """Return the text with characters that have no shape written out, such as ⏎ for the end of a line."""
    return "".join(map(_shape, text))


def visible_token(text: str) -> str:
    """Return the text of one token: also its spaces are visible, and that it has no text at all."""
    return visible(text).replace(" ", "␣") or NO_TEXT


def _shape(character: str) -> str:
    if character in NAMED:
        return NAMED[character]
    if ord(character) < ord(" "):
        return chr(CONTROL_PICTURES + ord(character))
    if unicodedata.category(character) in SHAPELESS or (character != " " and character.isspace()):
        return f"⟨U+{ord(character):04X}⟩"
    return character
