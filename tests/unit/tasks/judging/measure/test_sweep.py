"""A sweep over lengths: both sides at every concurrency, prompts of their own, within the budget."""

from support.judging.fake_completions import Behaviour, FakeServer, fake_server
from support.judging.judgements import endpoint, protocol, resident, workload
from support.judging.measured_fakes import ignore

from engine_specs.spec import Lengths
from tasks.judging import SpeedResult
from tasks.judging.measure import Budget, measure_speed

LONGER = Lengths(input_tokens=12, output_tokens=9)
SWEPT = protocol(load=workload(sweep=(LONGER,)), resolution=500.0, budget_minutes=0.001)


def swept(
    engine: FakeServer, vllm: FakeServer, minutes: float, lines: list[str] | None = None
) -> SpeedResult:
    up = [endpoint("engine", engine.base_url), endpoint("vllm", vllm.base_url)]
    made = measure_speed(
        resident(up),
        up[0].side,
        [up[1].side],
        SWEPT,
        text=None,
        budget=Budget(minutes),
        say=ignore if lines is None else lines.append,
    )
    assert isinstance(made, SpeedResult)
    return made


def test_other_lengths_are_measured_on_both_sides_with_prompts_of_their_own() -> None:
    with fake_server(Behaviour()) as engine, fake_server(Behaviour()) as vllm:
        made = swept(engine, vllm, 5.0)
    assert [(one.input_tokens, one.output_tokens, one.point.concurrency) for one in made.sweep] == [
        (12, 9, 1),
        (12, 9, 2),
    ]
    records = [r for one in made.sweep for made_round in one.point.rounds for r in made_round.requests]
    assert {record.output_tokens for record in records} == {9}
    assert made.omitted == ()
    prompts = [tuple(one["prompt"]) for one in [*engine.timed_requests, *vllm.timed_requests]]
    assert {len(prompt) for prompt in prompts} == {8, 12}
    heads = [prompt[:4] for prompt in prompts]
    assert len(set(heads)) == len(heads), "no prefix cache answers instead of the model"
    # All answers are counted, whatever their lengths; some of each load are asked again.
    answers = sum(len(r.requests) for p in made.points for r in p.rounds if r.side == "engine")
    answers += sum(len(r.requests) for one in made.sweep for r in one.point.rounds if r.side == "engine")
    assert len(made.timed.engine.claimed) == answers + len(made.open_loop.engine.requests)
    assert {sample.claimed_tokens for sample in made.timed.samples} == {6, 9}
    assert SpeedResult.model_validate_json(made.model_dump_json()) == made


def test_what_the_budget_leaves_out_is_named() -> None:
    lines: list[str] = []
    with fake_server(Behaviour()) as engine, fake_server(Behaviour()) as vllm:
        made = swept(engine, vllm, 0.0, lines)
    assert made.sweep == ()
    said = [one for one in made.omitted if one.startswith("12 + 9 tokens, ")]
    assert [one.split(":")[0] for one in said] == ["12 + 9 tokens, 1 in flight", "12 + 9 tokens, 2 in flight"]
    assert {f"left out: {one}" for one in said} <= set(lines)
    open_loop = [one for one in made.omitted if "in open loop" in one]
    assert [one.split()[0] for one in open_loop] == ["engine", "vllm"]
