"""The client for completions of all sides, and the strict parsing of what servers answer.

Promises: a request completes, or raises an error with the server's own words; nothing is retried.
"""

from tasks.judging.measure.completions.client import CompletionsClient, open_client
from tasks.judging.measure.completions.concurrency import all_or_first_error, map_bounded
from tasks.judging.measure.completions.numbers import finite
from tasks.judging.measure.completions.replies import (
    generated_ids,
    generated_text,
    prompt_ids,
    prompt_tokens,
    streamed_ids,
)
from tasks.judging.measure.completions.streams import RawStream, Trace

__all__ = [
    "CompletionsClient",
    "RawStream",
    "Trace",
    "all_or_first_error",
    "finite",
    "generated_ids",
    "generated_text",
    "map_bounded",
    "open_client",
    "prompt_ids",
    "prompt_tokens",
    "streamed_ids",
]
