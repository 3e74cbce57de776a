"""What a stage and a worker exchange: one request and one response, as JSON in files.

Invariants:
- Both sides use these records; `request` in a worker's folder defines its `params` and `admission`.
- `params` decide the result, so they are part of its identity. `admission` only decides whether there may be
  a result: a worker may refuse because of it, but writes nothing of it into its output.
- A response is a result or a refusal. A worker that dies leaves no response.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from tasks.workers.common.records import InvalidRecord, Record, as_json, read_record

P = TypeVar("P", bound=Record)
A = TypeVar("A", bound=Record)
Failure = Literal["unsupported", "input", "out-of-memory", "regression"]


@dataclass(frozen=True)
class Nothing:
    """The empty record, for workers without params or admission of their own."""


@dataclass(frozen=True)
class Request(Generic[P, A]):
    """What a worker is asked to do.

    Attributes:
        params: what decides the result.
        admission: what only decides whether it may be made.
        inputs: directories that it reads, by role.
        output: an empty directory that exists.
    """

    params: P
    admission: A
    inputs: dict[str, Path]
    output: Path


@dataclass(frozen=True, kw_only=True)
class EngineParams:
    """What decides an engine, whatever its kind; the request of each worker that builds one adds its own.

    Attributes:
        kind: name of the kind.
        recipe: quantization recipe of the weights.
        serve: the serve command that engine.json carries, as it is.
        toolchains: identity of each toolchain that takes part, by role.
        driver_floor: oldest NVIDIA driver that its toolchains run with; None on CPUs.
        stand_in: whether a stand-in of the tool builds it.
        unchecked_args: arguments of the tool that no table of its release has, which the spec passes.
        speculative: how tokens are drafted; None: they are not.
    """

    kind: str
    recipe: str
    serve: dict[str, Any]
    toolchains: dict[str, str] = field(default_factory=dict)
    driver_floor: str | None = None
    stand_in: bool = False
    unchecked_args: tuple[str, ...] = ()
    speculative: dict[str, Any] | None = None


@dataclass(frozen=True)
class Result:
    """What a worker reports next to the files in `output`: facts of its work, and versions of its tools."""

    metrics: dict[str, Any]
    tools: dict[str, str]


@dataclass(frozen=True)
class Refused:
    """Why a worker did not do what it was asked."""

    failure: Failure
    what: str
    where: str
    fix: str


@dataclass(frozen=True)
class _RawRequest:
    params: dict[str, Any]
    admission: dict[str, Any]
    inputs: dict[str, Path]
    output: Path


@dataclass(frozen=True)
class _Refusing:
    ok: Literal[False]
    error: Refused


def read_request(document: object, params: type[P], admission: type[A]) -> Request[P, A]:
    """Read a request whose `params` and `admission` are these records.

    Raises:
        InvalidRecord: it is not of that form; the message names the key.
    """
    raw = read_record(_RawRequest, document, "request")
    return Request(
        read_record(params, raw.params, "request.params"),
        read_record(admission, raw.admission, "request.admission"),
        raw.inputs,
        raw.output,
    )


def response_json(answer: Result | Refused) -> dict[str, Any]:
    """The JSON of a response."""
    if isinstance(answer, Refused):
        return {"ok": False, "error": as_json(answer)}
    return {"ok": True, **as_json(answer)}


def read_response(document: object) -> Result | Refused:
    """Read a response.

    Raises:
        InvalidRecord: it is not of that form; the message names the key.
    """
    if not isinstance(document, dict) or "ok" not in document:
        raise InvalidRecord("response.ok: missing key")
    if document["ok"] is not True:
        return read_record(_Refusing, document, "response").error
    return read_record(Result, {name: value for name, value in document.items() if name != "ok"}, "response")
