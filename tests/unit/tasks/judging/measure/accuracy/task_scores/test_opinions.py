"""Second opinions are asked of the engine and of the first reference, once, and change no answer."""

from pathlib import Path

import pytest
from support.judging.judgements import accuracy_result, endpoint, resident
from support.judging.tasks import asking, choosing, result_of, writing

from tasks.judging import Endpoint, Opinion
from tasks.judging.measure.accuracy import with_opinions
from tasks.judging.results import SecondOpinion
from tasks.runs import KeptPhases


@pytest.mark.parametrize("runs", [1, 2])
def test_both_sides_are_asked_once_and_the_tasks_keep_their_answers(tmp_path: Path, runs: int) -> None:
    asked = asking(choosing(second_opinion=True), writing())
    tasks = (result_of([(True, True)] * 3), result_of([(True, False)] * 2, "sums"))
    accuracy = accuracy_result(asked.digest, [0.0]).model_copy(update={"tasks": tasks})
    placement = resident([endpoint("engine", "http://a"), endpoint("vllm", "http://b")])
    named: list[str] = []

    def opine(side: Endpoint) -> Opinion:
        named.append(side.base_url)
        return Opinion(tool="tool 1", right={"fruit": 0.5 if side.base_url == "http://a" else 0.75})

    for _ in range(runs):
        kept = KeptPhases(tmp_path, say=lambda _line: None)
        found = with_opinions(accuracy, placement, asked, opine, kept)
    assert named == ["http://a", "http://b"]
    fruit, sums = found.tasks
    assert fruit.second_opinion == SecondOpinion(tool="tool 1", engine=0.5, reference=0.75)
    assert sums.second_opinion is None
    assert (fruit.samples, sums) == (tasks[0].samples, tasks[1])
