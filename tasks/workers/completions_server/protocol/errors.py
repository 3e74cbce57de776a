"""Requests that cannot be answered, and how OpenAI's clients learn of it."""

from typing import Any


class BadRequest(Exception):
    """A request that cannot be answered as asked; becomes an OpenAI error object."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


def error_object(message: str, param: str | None, status: int) -> dict[str, Any]:
    """An error as OpenAI's clients expect it."""
    kind = "NotFoundError" if status == 404 else "BadRequestError" if status < 500 else "InternalServerError"
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}
