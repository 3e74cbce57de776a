"""The worker's side of the protocol, run in this process."""

import json
import math
import sys
from pathlib import Path

import pytest

from tasks.workers import worker_io


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs a worker's main with a request on disk; the answer, or None if it wrote none."""

    def run(main):
        request, response = tmp_path / "request.json", tmp_path / "response.json"
        request.write_text(
            json.dumps(
                {
                    "params": {"a": 1},
                    "admission": {"b": 2},
                    "inputs": {"checkpoint": "/c"},
                    "output": str(tmp_path),
                }
            )
        )
        monkeypatch.setattr(sys, "argv", ["worker.py", str(request), str(response)])
        worker_io.run(main)
        return json.loads(response.read_text())

    return run


def raising(error):
    def main(request):
        raise error

    return main


def test_request_comes_with_paths(call, tmp_path):
    seen = []
    answer = call(lambda request: seen.append(request) or worker_io.Result({"n": 2}, {"torch": "2"}))
    assert seen == [worker_io.Request({"a": 1}, {"checkpoint": Path("/c")}, tmp_path, {"b": 2})]
    assert answer == {"ok": True, "metrics": {"n": 2}, "tools": {"torch": "2"}}


def test_refusal_is_an_answer(call):
    answer = call(raising(worker_io.Refusal("unsupported", "no", where="here", fix="other")))
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
        call(lambda _: worker_io.Result({"loss": math.nan}))
    assert not (tmp_path / "response.json").exists()
