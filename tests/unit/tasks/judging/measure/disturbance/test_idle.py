"""What idle sides cost: shown to be nothing that matters, or sides do not share GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.judging.fake_completions import Behaviour, fake_server
from support.judging.judgements import endpoint, protocol, resident
from support.judging.measured_fakes import ignore

from tasks.judging import Side
from tasks.judging.measure import check_idle_sides
from tasks.judging.results import IdleCheck, Interval


@pytest.mark.parametrize(
    ("lower", "upper", "clear", "nothing"),
    [
        (0.99, 1.01, True, True),
        (0.96, 0.99, True, True),
        (0.91, 1.02, False, True),
        (0.94, 0.99, False, False),
        (0.888, 0.978, False, False),
        (0.90, 0.94, True, False),
        (0.89, 1.10, False, False),
    ],
)
def test_what_idle_sides_cost_is_judged_by_the_interval(
    lower: float, upper: float, clear: bool, nothing: bool
) -> None:
    ratio = Interval(estimate=(lower + upper) / 2, lower=lower, upper=upper, confidence=0.95)
    check = IdleCheck(side="engine", ratio=ratio, log_ratios=(0.0,) * 4, tolerance=0.05)
    assert (check.is_clear, check.costs_nothing) == (clear, nothing)


def test_both_sides_are_asked_alone_as_often_as_not_and_three_looks_share_the_error() -> None:
    asked = protocol(resolution=0.9)  # so coarse that the first look is clear
    alone: list[str] = []

    @contextmanager
    def suspended_next_to(side: Side) -> Iterator[None]:
        alone.append(side.name)
        yield

    with fake_server(Behaviour()) as engine, fake_server(Behaviour()) as vllm:
        up = [endpoint("engine", engine.base_url), endpoint("vllm", vllm.base_url)]
        made = check_idle_sides(resident(up), suspended_next_to, asked, say=ignore)
    assert [(one.side, one.pairs) for one in made.checks] == [("engine", 8), ("vllm", 8)]
    assert alone == ["engine"] * 8 + ["vllm"] * 8
    error = 1 - asked.speed.gate.confidence
    assert [one.ratio.confidence for one in made.checks] == [pytest.approx(1 - error / 3)] * 2
