"""Bodies of requests: which JSON is read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tasks.workers.completions_server.protocol.values import read_json


@given(st.dictionaries(st.text(), st.lists(st.text() | st.integers() | st.none())), st.booleans())
def test_every_text_that_utf_8_has_is_read_however_it_is_escaped(value: object, escaped: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


def test_a_surrogate_pair_is_one_character_and_an_escaped_backslash_is_none() -> None:
    assert read_json(rb'"\ud83d\uDE00"') == "\U0001f600"
    assert read_json(rb'"\\ud83d"') == r"\ud83d"
