"""Damage is done as it is planted, to nothing else, and only if it is planted."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.judging.toy_model import ToyEngine, next_token
from support.judging.toy_server import ByteCodec
from support.paths import ROOT

from tasks.workers.aot.request import SERVER
from tasks.workers.common.shape import Shape
from tasks.workers.common.sources import closure
from tasks.workers.damaged_server.codec import DamagedCodec
from tasks.workers.damaged_server.engine import DamagedEngine
from tasks.workers.damaged_server.request import PLANTED_IN, Damage, read_damage, write_damage

SHAPE = Shape(max_batch_size=4, max_input_len=40, max_seq_len=60, max_num_tokens=160)
MODULE = "tasks.workers.damaged_server.main"


def generated(damage: Damage, *prompts: Sequence[int], count: int = 12) -> list[list[int]]:
    """What an engine with a damage generates for prompts that it reads together."""
    toy = ToyEngine(SHAPE)
    engine = DamagedEngine(toy, lambda: damage, toy.keep)
    tokens = list(engine.prefill(0, prompts).tokens)
    made = [[token] for token in tokens]
    for step in range(count - 1):
        positions = [len(prompt) + step for prompt in prompts]
        tokens = list(engine.decode(tokens, positions).tokens)
        for row, token in zip(made, tokens, strict=True):
            row.append(token)
    return made


def right(prompt: Sequence[int], count: int = 12) -> list[int]:
    """What the model itself generates."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(next_token(ids))
    return ids[len(prompt) :]


def first_wrong(prompt: Sequence[int], made: Sequence[int]) -> int:
    """Where the first token is that is not the model's choice after those before it; -1 if there is none."""
    chosen = [next_token([*prompt, *made[:place]]) for place in range(len(made))]
    return next((place for place, token in enumerate(made) if token != chosen[place]), -1)


ONE = tuple(range(50, 60))
OTHER = tuple(range(70, 85))


def test_an_engine_without_damage_is_the_engine() -> None:
    assert generated(Damage(), ONE, OTHER) == [right(ONE), right(OTHER)]


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (Damage("garbage", after=0), (0, 0)),
        (Damage("garbage", after=1), (1, 1)),
        (Damage("garbage", after=8), (8, 8)),
        (Damage("garbage", beyond=16), (7, 2)),
        (Damage("garbage", prompt_tokens=12), (-1, 0)),
        (Damage("garbage", one_in=2), (0, -1)),
        # The token at position 13 is forgotten: those after it are wrong, but not the one that it gives.
        (Damage("stale-cache", beyond=13), (5, 2)),
        (Damage("shifted-positions", shift=1), (1, 1)),
        (Damage("second-best", every=10), (10, 10)),
        (Damage("swapped-rows"), (1, 1)),
        (Damage("swapped-prompts", together=2), (0, 0)),
        (Damage("swapped-prompts", together=3), (-1, -1)),
    ],
)
def test_where_the_first_wrong_token_is(damage: Damage, wrong: tuple[int, int]) -> None:
    one, other = generated(damage, ONE, OTHER)
    assert (first_wrong(ONE, one), first_wrong(OTHER, other)) == wrong


def test_noise_changes_a_token_where_another_is_nearly_as_likely() -> None:
    (little,), (much,) = (generated(Damage("noisy-logits", nats=nats), ONE, count=40) for nats in (0.01, 3.0))
    assert first_wrong(ONE, little) != 0
    wrong = [place for place in range(1, 40) if much[place] != next_token([*ONE, *much[:place]])]
    assert len(wrong) > 10
    assert generated(Damage("noisy-logits", nats=3.0), ONE, count=40) == [much], "seeded"


def test_a_tokenizer_that_takes_two_ids_for_each_other() -> None:
    planted = [Damage("swapped-ids", ids=(100, 101))]
    codec, honest = DamagedCodec(ByteCodec(), lambda: planted[0]), ByteCodec()
    assert honest.encode("ab", special=False) == [100, 101]
    assert codec.encode("abc", special=False) == [101, 100, 102]
    assert (codec.decode([100, 102]), codec.spell(101)) == ("bc", "a")
    planted[0] = Damage()
    assert codec.encode("abc") == honest.encode("abc")


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    damage = Damage("swapped-ids", ids=(3, 4), one_in=7)
    write_damage(tmp_path / "damage.json", damage)
    assert read_damage(tmp_path / "damage.json") == damage


def test_it_does_not_start_without_a_planted_damage() -> None:
    env = {name: value for name, value in os.environ.items() if name != PLANTED_IN}
    argv = [sys.executable, "-m", MODULE, "--tree", "anything", "--port", "1", "--model", "m"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env)
    assert ended.returncode == 3
    assert f"{PLANTED_IN} is not set" in ended.stderr


def test_no_engine_ships_it_and_no_kind_serves_by_it() -> None:
    shipped = {source.name for source in closure(SERVER)}
    assert "tasks/workers/completions_server/http.py" in shipped
    assert not [name for name in shipped if "damage" in name]
    kinds = sorted((ROOT / "tasks" / "kinds").glob("*.py"))
    assert len(kinds) > 4
    assert [path.name for path in kinds if "damaged_server" in path.read_text(encoding="utf-8")] == []
