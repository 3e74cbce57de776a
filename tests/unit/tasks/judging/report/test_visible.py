"""Text of a model: nothing in it is lost to the eye, and ordinary text stays as it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.judging.report.visible import NO_TEXT, visible, visible_token


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 日本語 👩", "naïve 日本語 👩"),
        ("a\n\tb\r\x00\x1b\x7f", "a⏎⇥b␍␀␛␡"),
        ("\u202eevil\u2066", "⟨U+202E⟩evil⟨U+2066⟩"),
        ("\u200b\ufeff\u00a0", "⟨U+200B⟩⟨U+FEFF⟩⟨U+00A0⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("half \ufffd", "half �"),
    ],
)
def test_what_has_no_shape_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_token_shows_its_spaces_and_that_it_has_no_text() -> None:
    assert visible_token("  the ") == "␣␣the␣"
    assert visible_token("") == NO_TEXT


@given(st.text())
def test_what_is_shown_has_a_shape_and_can_be_written(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(unicodedata.category(one)[0] == "C" for one in shown)
    assert len(shown) >= len(text)
