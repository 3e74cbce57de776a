"""Texts that calibrate an engine are not among those that it is judged on."""

import pytest

from tasks.errors import TextsInvalid
from tasks.hub.overlap import refuse_overlap
from tasks.hub.texts import Text

HELDOUT = [Text(id="h1", text="one text"), Text(id="h2", text="another\n\ttext ")]


def test_texts_that_differ_are_accepted() -> None:
    refuse_overlap([Text(id="h1", text="a third text")], HELDOUT, "fp8")


@pytest.mark.parametrize("text", ["another text", "another\n\ttext ", "  another  text"])
def test_the_same_text_is_refused_whatever_its_id_and_white_space(text: str) -> None:
    ours = [Text(id="c1", text="of its own"), Text(id="c2", text=text)]
    with pytest.raises(TextsInvalid, match=r"1 of the texts that calibrate variant fp8 .*: 'c2' is 'h2'"):
        refuse_overlap(ours, HELDOUT, "fp8")
