"""The worker's side of a job: it reads a request, does the work, and writes a response.

A worker runs as `python -P -m MODULE REQUEST.json RESPONSE.json` in the interpreter of a toolchain.
Invariants:
- Standard library only, Python >= 3.11: every worker imports this, in every toolchain.
- The response appears atomically (written under another name, then renamed) or not at all.
- Exit code 0 means "answered", with a result or a refusal. Anything else is a crash, which the runner
  explains.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.workers.common.requests import A, Failure, P, Refused, Request, Result, read_request, response_json
from tasks.workers.garbage import look_for_garbage_rarely


class Refusal(Exception):
    """Raised by a worker that cannot do what it is asked, for a known reason."""

    def __init__(self, failure: Failure, what: str, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.failure: Failure = failure
        self.what = what
        self.where = where
        self.fix = fix


def say(line: str) -> None:
    """Print one progress line without delay, so that it is seen while the work continues."""
    print(line, flush=True)


def run(main: Callable[[Request[P, A]], Result], params: type[P], admission: type[A]) -> None:
    """Read the request named on the command line, do the work, and write the response.

    `Refusal` and `MemoryError` become responses; every other exception ends the worker with its traceback.

    Args:
        main: does the work.
        params: record of the request's `params`.
        admission: record of its `admission`.

    Raises:
        InvalidRecord: the request is not of that form.
    """
    look_for_garbage_rarely()
    request_path, response_path = Path(sys.argv[1]), Path(sys.argv[2])
    request = read_request(json.loads(request_path.read_text(encoding="utf-8")), params, admission)
    write_response(response_path, _answer(main, request))


def write_response(path: Path, answer: Result | Refused) -> None:
    """Write a response atomically; numbers that JSON does not have (NaN, infinity) are refused here."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(response_json(answer), allow_nan=False), encoding="utf-8")
    os.replace(aside, path)  # noqa: PTH105  atomic by contract


def _answer(main: Callable[[Request[P, A]], Result], request: Request[P, A]) -> Result | Refused:
    try:
        return main(request)
    except Refusal as refusal:
        return Refused(refusal.failure, refusal.what, refusal.where, refusal.fix)
    except MemoryError as error:
        what = f"memory ran out: {error}" if str(error) else "memory ran out"
        return Refused("out-of-memory", what, where="", fix="")
