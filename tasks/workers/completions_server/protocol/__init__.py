"""OpenAI's protocol, with vLLM's extensions: requests are read and checked here, and answers are written.

Invariants:
- Whatever is accepted is honoured. A field that vLLM knows, that would change the answer and is not supported
  here, is refused by name; a field that vLLM does not know is ignored, as vLLM does, and reported.
- What a request leaves out, generation_config.json of the checkpoint decides, and then vLLM's defaults.
- Values out of range are refused with vLLM's ranges.
"""

from tasks.workers.completions_server.protocol.answers import Answer
from tasks.workers.completions_server.protocol.choices import Choice, Codec, Piece
from tasks.workers.completions_server.protocol.errors import BadRequest, error_object
from tasks.workers.completions_server.protocol.reading import Served, read_chat, read_completion
from tasks.workers.completions_server.protocol.records import Form, Generation, Request, RequestLimits

__all__ = [
    "Answer",
    "BadRequest",
    "Choice",
    "Codec",
    "Form",
    "Generation",
    "Piece",
    "Request",
    "RequestLimits",
    "Served",
    "error_object",
    "read_chat",
    "read_completion",
]
