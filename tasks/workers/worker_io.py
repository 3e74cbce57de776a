"""The worker's side of the job protocol: a request comes as a JSON file, the answer goes into another.

A worker is run as `PYTHON WORKER.py REQUEST.json RESPONSE.json` by the interpreter of a toolchain.
Invariants:
- Standard library only, Python >= 3.10: this file is imported beside every worker, in every toolchain.
- The response appears in one piece (written aside, then renamed) or not at all. A worker that dies leaves
  none.
- Exit code 0 means "answered", be it a result or a refusal. Anything else is a crash, told by the runner.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Failure = Literal["unsupported", "input", "out-of-memory", "regression"]


@dataclass(frozen=True)
class Request:
    """What the worker is asked to do; `output` is an empty directory that exists.

    `params` decide the result. `admission` only decides whether there may be one: a worker refuses by it, and
    writes nothing of it into its output.
    """

    params: dict[str, Any]
    inputs: dict[str, Path]
    output: Path
    admission: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What the worker has to tell beside the files in `output`: numbers, and the tools' versions."""

    metrics: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised by a worker that cannot do what was asked, for a reason that it understands."""

    def __init__(self, failure: Failure, what: str, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.failure = failure
        self.what = what
        self.where = where
        self.fix = fix


def say(line: str) -> None:
    """Print one progress line at once, so that it is seen while the work goes on."""
    print(line, flush=True)


def run(main: Callable[[Request], Result]) -> None:
    """Read the request named on the command line, do the work, write the response.

    `Refusal` and `MemoryError` become answers; every other exception ends the worker with its traceback.
    """
    request_path, response_path = Path(sys.argv[1]), Path(sys.argv[2])
    request = read_request(request_path)
    try:
        result = main(request)
        answer: dict[str, Any] = {"ok": True, "metrics": result.metrics, "tools": result.tools}
    except Refusal as refusal:
        answer = _refused(refusal)
    except MemoryError as error:
        answer = _refused(
            Refusal("out-of-memory", f"memory ran out: {error}" if str(error) else "memory ran out")
        )
    write_response(response_path, answer)


def read_request(path: Path) -> Request:
    """Read a request; paths become `Path`."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    inputs = {name: Path(value) for name, value in raw["inputs"].items()}
    return Request(raw["params"], inputs, Path(raw["output"]), raw["admission"])


def write_response(path: Path, answer: dict[str, Any]) -> None:
    """Write the answer in one piece; numbers that JSON does not have (NaN, infinity) are refused here."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    os.replace(aside, path)  # noqa: PTH105  atomic by contract


def _refused(refusal: Refusal) -> dict[str, Any]:
    error = {"failure": refusal.failure, "what": refusal.what, "where": refusal.where, "fix": refusal.fix}
    return {"ok": False, "error": error}
