"""The list of damages and cheats: what each does, who should find it, and where it is planted. Data only."""

from dataclasses import dataclass
from typing import Literal

from tasks.selftest.alterations import (
    UNALTERED,
    Alteration,
    Burst,
    CountsTwice,
    Cut,
    Empty,
    Garbage,
    NeverEnds,
    OneChunk,
    StopsEarly,
    TextLast,
)
from tasks.workers.damaged_server.request import Damage

Expected = Literal["found", "harmless", "within-limits"]
"""found: it must be rejected, refused, or miss the objective. harmless: it must not be rejected.
within-limits: the declared limits allow it, so it may pass."""
Served = Literal["engine", "noisy", "vllm"]
"""What stands for the engine: the engine, a copy of it with noise on its weights, or the reference."""
Texts = Literal["few", "many", "all"]
"""few: 40, which show a large regret. many: 160, which show a small one. all: what the spec declares."""
NO_DAMAGE = Damage()
ANSWERS = ("regret", "tokenizer")
"""The gates that find wrong words: unlikely ones, or two different answers to the same request."""
CLIENT = "client"
"""Stands for a gate where the judge's client refuses the answer, so that there is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One damage or cheat.

    Attributes:
        name: in tables, and for `--only`.
        does: what it does, as part of a sentence.
        gates: names of the gates that may find it; `client` for the judge's client.
        damage: planted between server and engine.
        alteration: planted in front of the server.
        expected: what has to come of it.
        texts: how many held-out texts it takes.
        once_judged: whether it begins only after the judge has compared streams with other answers: a server
            that behaves until then.
        served: what stands for the engine.
        note: what one has to know, above all why it may pass.
    """

    name: str
    does: str
    gates: tuple[str, ...]
    damage: Damage = NO_DAMAGE
    alteration: Alteration = UNALTERED
    expected: Expected = "found"
    texts: Texts = "few"
    once_judged: bool = False
    served: Served = "engine"
    note: str = ""


def _garbage_after(tokens: int) -> Planted:
    return Planted(
        f"garbage-after-{tokens}",
        f"any token but the right one, once {tokens} of an answer were generated",
        ("regret",),
        Damage("garbage", after=tokens),
    )


def _garbage_beyond(position: int) -> Planted:
    return Planted(
        f"garbage-beyond-{position}",
        f"any token but the right one, beyond position {position}",
        ("regret",),
        Damage("garbage", beyond=position),
    )


def _stale_from(position: int) -> Planted:
    return Planted(
        f"stale-cache-from-{position}",
        f"keys and values that are generated from position {position} on never reach the cache",
        ("regret",),
        Damage("stale-cache", beyond=position),
    )


def _shifted_by(positions: int) -> Planted:
    return Planted(
        f"positions-off-by-{positions}",
        f"decode puts tokens {positions} position{'s' if positions > 1 else ''} behind their own",
        ("regret",),
        Damage("shifted-positions", shift=positions),
        texts="many",
    )


UNDAMAGED = Planted("undamaged", "the engine as it is built", (), expected="harmless", texts="many")

HARMLESS = (
    UNDAMAGED,
    Planted(
        "noisy-weights",
        "every weight matrix of the engine has 1 % noise",
        (),
        expected="harmless",
        texts="many",
        served="noisy",
    ),
    Planted(
        "vllm-itself", "vLLM in the engine's place", (), expected="harmless", texts="many", served="vllm"
    ),
)

ENGINE_DAMAGES = (
    *(_garbage_after(tokens) for tokens in (1, 2, 4, 8, 16, 32)),
    _garbage_beyond(96),
    _garbage_beyond(128),
    Planted(
        "garbage-for-long-prompts",
        "any token but the right one, for prompts of 97 tokens and more",
        ("regret",),
        Damage("garbage", prompt_tokens=97),
    ),
    _stale_from(96),
    _stale_from(128),
    _shifted_by(1),
    _shifted_by(20),
    Planted(
        "decode-noise-0.3",
        "noise with a standard deviation of 0.3 nats on the logits of decode",
        ANSWERS,
        Damage("noisy-logits", nats=0.3),
        texts="many",
    ),
    Planted(
        "decode-noise-2",
        "noise with a standard deviation of 2 nats on the logits of decode",
        ANSWERS,
        Damage("noisy-logits", nats=2.0),
    ),
    Planted(
        "second-best",
        "the second-best token in every tenth step of decode",
        ANSWERS,
        Damage("second-best", every=10),
        texts="many",
    ),
    Planted(
        "rows-swapped",
        "each of two neighbours gets the other's token in decode",
        ("regret",),
        Damage("swapped-rows"),
    ),
    Planted(
        "prompts-swapped",
        "prompts are read into each other's rows if 4 are read in one iteration",
        ("regret", "gross errors"),
        Damage("swapped-prompts", together=4),
    ),
    Planted(
        "one-request-in-200",
        "garbage for one request in 200, from the 100th on",
        (*ANSWERS, "gross errors"),
        Damage("garbage", one_in=200),
        texts="all",
    ),
    Planted(
        "one-request-in-1000",
        "garbage for one request in 1,000, from the 500th on",
        (*ANSWERS, "gross errors"),
        Damage("garbage", one_in=1000),
        texts="all",
    ),
    Planted(
        "ids-swapped",
        "the tokenizer takes two rare ids for each other",
        ("tokenizer",),
        Damage("swapped-ids", ids=(1000, 1001)),
    ),
)

SERVER_DAMAGES = (
    Planted(
        "wrong-when-streamed",
        "garbage in every stream, with ids that match it",
        ANSWERS,
        alteration=Garbage(streams="all"),
    ),
    Planted(
        "empty-when-streamed", "streams have no text", ("timed answers", "tokenizer"), alteration=Empty()
    ),
    Planted(
        "cut-short", "answers stop at 15 of 16 tokens, such as 60 of 64", ("length",), alteration=Cut(60, 64)
    ),
    Planted(
        "cut-where-it-may-end",
        "the same, unless the request forbids an early end",
        ("length",),
        alteration=Cut(60, 64, forced=False),
        expected="within-limits",
        texts="many",
        note="Lengths may differ by 10 % unless a spec declares less, and few answers are so long.",
    ),
    Planted(
        "never-ends", "ids that end an answer are ignored", ("length",), alteration=NeverEnds(), texts="many"
    ),
)

CHEATS = (
    Planted(
        "stops-early",
        "timed answers stop at an eighth of the tokens, and claim all",
        ("timed answers",),
        alteration=StopsEarly(),
        once_judged=True,
    ),
    Planted(
        "counts-twice",
        "timed answers have half of the tokens, each counted twice",
        ("timed answers",),
        alteration=CountsTwice(),
        once_judged=True,
    ),
    Planted(
        "empty-when-timed",
        "timed answers have no text",
        ("timed answers",),
        alteration=Empty(),
        once_judged=True,
    ),
    Planted(
        "garbage-when-timed",
        "timed answers are garbage",
        ("timed answers",),
        alteration=Garbage(streams="text"),
        once_judged=True,
    ),
    Planted(
        "garbage-once-judged",
        "all streams are garbage after those that are judged",
        ("timed answers",),
        alteration=Garbage(streams="all"),
        once_judged=True,
    ),
    Planted(
        "one-chunk",
        "timed answers come in one chunk at their end",
        ("timed answers",),
        alteration=OneChunk(),
        once_judged=True,
    ),
    Planted(
        "text-last",
        "timed answers count each token when it is made, and have all of their text in the last chunk",
        ("timed answers",),
        alteration=TextLast(),
        once_judged=True,
    ),
    Planted(
        "silence-then-burst",
        "timed answers are held back until their end and for 1.24 s, then all chunks are sent at once",
        ("timed answers", "slo"),
        alteration=Burst(seconds=1.24),
        once_judged=True,
    ),
)

PLANTED = (*HARMLESS, *ENGINE_DAMAGES, *SERVER_DAMAGES, *CHEATS)

ENGINE_ITSELF, VLLM_ITSELF, BURNING_CORE = CONTROLS = (
    "engine-against-itself",
    "vllm-against-itself",
    "burning-core",
)
"""What is tried besides: a server against itself, and an engine next to somebody who computes."""


def names() -> tuple[str, ...]:
    """Return the names of everything that can be tried, in order."""
    return (*(one.name for one in PLANTED), *CONTROLS)
