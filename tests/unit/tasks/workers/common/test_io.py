"""The worker's side of the protocol, run in this process."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.workers.common import io
from tasks.workers.common.records import InvalidRecord
from tasks.workers.common.requests import Request, Result


@dataclass(frozen=True)
class Params:
    a: int


@dataclass(frozen=True)
class Admission:
    b: int


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs a worker's main with a request on disk; the answer, or None if it wrote none."""

    def run(main, **changes):
        request, response = tmp_path / "request.json", tmp_path / "response.json"
        request.write_text(
            json.dumps(
                {
                    "params": {"a": 1},
                    "admission": {"b": 2},
                    "inputs": {"checkpoint": "/c"},
                    "output": str(tmp_path),
                }
                | changes
            )
        )
        monkeypatch.setattr(sys, "argv", ["worker.py", str(request), str(response)])
        io.run(main, Params, Admission)
        return json.loads(response.read_text())

    return run


def raising(error):
    def main(request):
        raise error

    return main


def test_request_comes_with_paths(call, tmp_path):
    seen = []
    answer = call(lambda request: seen.append(request) or Result({"n": 2}, {"torch": "2"}))
    assert seen == [Request(Params(1), Admission(2), {"checkpoint": Path("/c")}, tmp_path)]
    assert answer == {"ok": True, "metrics": {"n": 2}, "tools": {"torch": "2"}}


def test_refusal_is_an_answer(call):
    answer = call(raising(io.Refusal("unsupported", "no", where="here", fix="other")))
    assert answer == {
        "ok": False,
        "error": {"failure": "unsupported", "what": "no", "where": "here", "fix": "other"},
    }


def test_want_of_memory_is_an_answer(call):
    assert call(raising(MemoryError()))["error"]["failure"] == "out-of-memory"


def test_crash_leaves_no_answer(call, tmp_path):
    with pytest.raises(ZeroDivisionError):
        call(raising(ZeroDivisionError()))
    assert not (tmp_path / "response.json").exists()


def test_numbers_that_json_lacks_are_no_answer(call, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        call(lambda _: Result({"loss": math.nan}, {}))
    assert not (tmp_path / "response.json").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {}}, "request.params.a: missing key"),
        ({"params": {"a": "1"}}, "request.params.a: expected int"),
        ({"admission": {"b": 2, "c": 3}}, "request.admission.c: unknown key"),
        ({"inputs": {"checkpoint": 1}}, "request.inputs.checkpoint: expected a path"),
        ({"more": 1}, "request.more: unknown key"),
    ],
)
def test_a_request_of_another_form_is_not_worked_on(call, tmp_path, changes, said):
    with pytest.raises(InvalidRecord, match=said):
        call(lambda _: pytest.fail("the work was begun"), **changes)
    assert not (tmp_path / "response.json").exists()
