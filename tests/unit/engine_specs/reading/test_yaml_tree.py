"""Reading YAML: broken text, and the traps of its scalars."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.specs.text import problems_in

from engine_specs.reading import SpecInvalid, dotted, parse
from engine_specs.reading.yaml_tree import Mark
from engine_specs.spec import load_spec

BROKEN = [
    ("a: [1, 2\nb: 3\n", 2, 2, "':'"),
    ("a: 'open\n", 2, 1, "unexpected end of stream"),
    ("a:\n\t- 1\n", 2, 1, "a tab"),
    ("a: 1\n b: 2\n", 2, 3, "a colon"),
    ("a: 1\nb\nc: 2\n", 3, 1, "no ':'"),
    ("a: 1\n---\nb: 2\n", 2, 1, "another document"),
    ("a: &x [1]\nb: *x\n", 2, 4, "alias *x"),
    ("a: &x [*x]\n", 1, 8, "alias *x"),
    ("a: !!python/object/apply:os.getcwd []\n", 1, 4, "tag:yaml.org,2002:python/object/apply:os.getcwd"),
    ("a: !env HOME\n", 1, 4, "!env"),
    ("a: !!int twelve\n", 1, 4, "twelve"),
    ("a: !!bool yes\n", 1, 4, "tag:yaml.org,2002:bool"),
    ("? [1]\n: 2\n", 1, 3, "a list or mapping as key"),
    ("a: 1\nb: 2\na: 3\n", 3, 1, "the same key again"),
    ("a: \x07\n", 1, 4, "the character '\\x07'"),
    ("a: " + "[" * 5000, 1, 0, ""),
    ("a: " + "9" * 5000, 1, 4, "9999"),
]


@pytest.mark.parametrize(("text", "line", "column", "found"), BROKEN)
def test_broken_text_is_a_problem_with_line_and_column(text: str, line: int, column: int, found: str) -> None:
    (problem,) = parse(text).problems
    assert (problem.line, problem.column) == (line, column)
    assert found in problem.found
    assert not problem.found.startswith(("found", "expected", "but", "could")), "said twice"
    assert problem.accepted


def test_the_message_of_broken_yaml_gives_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: tiny\nvariants: [1\n")
    with pytest.raises(SpecInvalid) as caught:
        load_spec(path)
    said = "YAML: found the end of the file; ',' or ']' (while parsing a flow sequence)"
    assert f"{path}:3:1: {said}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    (problem,) = problems_in(text)
    assert (problem.line, problem.field, problem.found) == (1, "spec", "an empty file")


@pytest.mark.parametrize(
    ("text", "found"), [("- a\n", "a list"), ("name\n", "'name'"), ("7\n", "the number 7")]
)
def test_a_file_that_is_no_mapping_is_refused(text: str, found: str) -> None:
    (problem,) = problems_in(text)
    assert (problem.line, problem.found) == (1, found)


def test_bytes_that_are_not_utf8_are_refused_on_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: tiny\nversion: \xe4\n")
    with pytest.raises(SpecInvalid) as caught:
        load_spec(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.found) == (2, "the byte 0xe4")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        ("-.inf", "-.inf"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("12", 12),
        ("-7", -7),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("'12'", "12"),
        ("${HOME}", "${HOME}"),
    ],
)
def test_scalars_follow_the_core_rules(written: str, value: object) -> None:
    document = parse(f"key: {written}\n")
    assert document.value == {"key": value}
    assert type(document.value["key"]) is type(value)


def test_marks_point_at_keys_and_fall_back_to_what_is_around() -> None:
    document = parse("a:\n  b:\n    - x\n    - c: 1\n")
    assert document.mark(("a", "b", 1, "c")) == Mark(4, 7)
    assert document.mark(("a", "b", 0)) == Mark(3, 7)
    assert document.mark(("a", "b", 1, "missing")) == Mark(4, 7)
    assert document.mark(("nowhere",)) == Mark(1, 1)
    assert dotted(("a", "b", 1, "c")) == "a.b[1].c"


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    document = parse(text)
    assert document.problems or document.value is None or document.marks[()].line >= 1


@settings(deadline=None)
@given(st.text(alphabet=":-[]{}&*!|>'\"%@`#?, \n\tab01.", max_size=60))
def test_no_mess_of_indicators_makes_the_reader_raise(text: str) -> None:
    document = parse(text)
    assert all(problem.line >= 1 and problem.accepted for problem in document.problems)
