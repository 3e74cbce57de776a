"""Placeholders of commands: names that are known are filled in, everything else stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.hosts import ServeCommand
from artifacts.placeholders import fill_placeholders

VALUES = {"tree": "/t{port}", "port": "80"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{tree}/x:{port}", "/t{port}/x:80"),
        ('{"mode": 3, "at": "{port}"}', '{"mode": 3, "at": "80"}'),
        ("{{port}}", "{80}"),
        ("{tree.__class__} {port!r} {} { } {nobody}", "{tree.__class__} {port!r} {} { } {nobody}"),
        ("{port", "{port"),
    ],
)
def test_known_names_are_filled_in_once(text: str, filled: str) -> None:
    assert fill_placeholders(text, VALUES) == filled


@given(st.text(alphabet="{}ab"))
def test_a_text_without_known_names_stays(text: str) -> None:
    assert fill_placeholders(text, {"long": "x"}) == text


def test_a_serve_command_may_hold_json() -> None:
    options = '{"mode": "none"}'
    serve = ServeCommand(toolchain="t", argv=("{python}", "--config", options, "{port}"), model="m")
    filled = serve.command(
        python="py", bin_dir="b", tree="/t", scratch="/scratch", host="h", port=1, model="m"
    )
    assert filled == ["py", "--config", options, "1"]
