"""What is planted: the record that the self-test writes and the damaged server reads."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

PLANTED_IN = "PLANTED_DAMAGE_FILE"
"""The variable that names the file to plant damage in."""

DamageKind = Literal[
    "none",
    "garbage",
    "stale-cache",
    "shifted-positions",
    "noisy-logits",
    "second-best",
    "swapped-rows",
    "swapped-prompts",
    "swapped-ids",
]


@dataclass(frozen=True)
class Damage:
    """A fault of an engine or of its tokenizer.

    Attributes:
        kind: what is wrong.
        after: garbage from a sequence's token of this number on, 0 being the first.
        beyond: garbage for tokens at positions beyond this one; or a cache that keeps nothing of decode from
            this position on.
        prompt_tokens: garbage for prompts of at least so many tokens.
        one_in: garbage for one request of so many.
        shift: by how many positions tokens are misplaced in decode.
        nats: standard deviation of the noise on logits of decode.
        every: the second-best token in every so many steps of decode.
        together: prompts are swapped if so many are read in one iteration.
        ids: two token ids that the tokenizer takes for each other.
    """

    kind: DamageKind = "none"
    after: int = 0
    beyond: int = -1
    prompt_tokens: int = 0
    one_in: int = 1
    shift: int = 0
    nats: float = 0.0
    every: int = 1
    together: int = 2
    ids: tuple[int, int] = (0, 0)


def write_damage(file: Path, damage: Damage) -> None:
    """Plant a damage: servers that read this file do it from the next prompt on."""
    written = file.with_suffix(".new")
    written.write_text(json.dumps(asdict(damage)), encoding="utf-8")
    written.replace(file)


def read_damage(file: Path) -> Damage:
    """Return the damage that is planted in a file."""
    document = json.loads(file.read_text(encoding="utf-8"))
    return Damage(**{**document, "ids": tuple(document["ids"])})
