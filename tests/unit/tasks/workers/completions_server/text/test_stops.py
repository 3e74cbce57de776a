"""Stop strings, wherever the pieces of a text are cut."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.workers.completions_server.text.stops import StopFinder

letters = st.text(alphabet="ab", max_size=12)
stops = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=3)


def pushed(finder: StopFinder, pieces: list[str]) -> str:
    """All that is handed out until the stop string, or until the end."""
    text = ""
    for piece in pieces:
        text += finder.push(piece)
        if finder.found is not None:
            return text
    return text + finder.finish()


@given(st.lists(letters, max_size=6), stops)
def test_a_text_ends_before_the_first_stop_string_however_it_is_cut(
    pieces: list[str], stop: list[str]
) -> None:
    whole = "".join(pieces)
    finder = StopFinder(stop, included=False)
    text = pushed(finder, pieces)
    ends = [whole.find(one) for one in stop if one in whole]
    if not ends:
        assert (text, finder.found) == (whole, None)
        return
    assert finder.found in stop
    assert whole.startswith(text + finder.found)
    # A longer stop string may begin earlier and still be incomplete when a shorter one is found.
    assert not any(one in text for one in stop)


@given(st.lists(letters, max_size=6), stops)
def test_included_it_is_the_end_of_the_text(pieces: list[str], stop: list[str]) -> None:
    finder = StopFinder(stop, included=True)
    text = pushed(finder, pieces)
    assert finder.found is None or text.endswith(finder.found)


def test_only_what_may_become_a_stop_string_is_held_back() -> None:
    finder = StopFinder(["END"], included=False)
    assert [finder.push(piece) for piece in ("aE", "N", "x", "EN")] == ["a", "", "ENx", ""]
    assert finder.finish() == "EN"


def test_a_match_before_the_answer_may_end_is_text() -> None:
    finder = StopFinder(["ab"], included=False)
    assert finder.push("xab", may_end=False) == "xab"
    assert finder.push("a", may_end=False) == ""
    assert finder.push("b") == ""
    assert finder.found == "ab"
