"""How a request wants its tokens chosen; fields, defaults and ranges are those of vLLM 0.32."""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tasks.workers.completions_server.engine import Sampling
from tasks.workers.completions_server.protocol.values import Body, mapping, number, refused, whole

INT64_MAX = 2**63 - 1
# Below this, a temperature means the likeliest token.
GREEDY_BELOW = 1e-5
GREATEST_BIAS = 100.0
LEAST_POSITIVE = math.nextafter(0, 1)


def read_sampling(body: Body, defaults: Mapping[str, Any], vocab_size: int) -> Sampling:
    """Read how tokens are chosen.

    Args:
        body: of the request.
        defaults: of the checkpoint, by the names of fields.
        vocab_size: number of tokens in the vocabulary.

    Raises:
        BadRequest: a value is out of range.
    """
    asked = {**defaults, **{name: value for name, value in body.items() if value is not None}}
    temperature = number(asked, "temperature", 1.0, 0, 2)
    seed = whole(asked, "seed", None, -INT64_MAX - 1, INT64_MAX)
    sampling = Sampling(
        temperature=0.0 if temperature < GREEDY_BELOW else temperature,
        top_p=number(asked, "top_p", 1.0, LEAST_POSITIVE, 1),
        top_k=max(whole(asked, "top_k", 0, -1) or 0, 0),
        min_p=number(asked, "min_p", 0.0, 0, 1),
        presence=number(asked, "presence_penalty", 0.0, -2, 2),
        frequency=number(asked, "frequency_penalty", 0.0, -2, 2),
        repetition=number(asked, "repetition_penalty", 1.0, LEAST_POSITIVE, sys.float_info.max),
        bias=_bias(asked, vocab_size),
        min_tokens=whole(asked, "min_tokens", 0, 0) or 0,
        seed=None if seed == -1 else seed,
    )
    return sampling if sampling.temperature else replace(sampling, top_p=1.0, top_k=0, min_p=0.0, seed=None)


def of_choice(sampling: Sampling, index: int) -> Sampling:
    """The sampling of one of several choices of a prompt: each has a seed of its own, as in vLLM."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + index)


def _bias(body: Body, vocab_size: int) -> tuple[tuple[int, float], ...]:
    """Additions by token id, cut to what OpenAI allows."""
    given = mapping(body, "logit_bias")
    for token, value in given.items():
        known = token.isdecimal() and int(token) < vocab_size
        if not (known and type(value) in (int, float) and math.isfinite(value)):
            wanted = f"numbers by token ids from 0 to {vocab_size - 1}"
            raise refused("logit_bias", {token: value}, wanted)
    return tuple(
        (int(token), min(GREATEST_BIAS, max(-GREATEST_BIAS, value))) for token, value in given.items()
    )
