"""The card of the page with the second opinion on speed."""

from pathlib import Path

import pytest
from support.judging.cases import OPINION
from support.judging.judgements import SUBJECT, measured, protocol, terms
from support.judging.report_page import rows_of

from tasks.judging import NoOpinion, SpeedOpinion
from tasks.judging.judge import judge_engine
from tasks.judging.report.report import render_report


def page(directory: Path, opinion: SpeedOpinion | NoOpinion | None) -> str:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 400, ratio=1.4).model_copy(update={"speed_opinion": opinion})
    return render_report(judge_engine(made, asked, terms(), SUBJECT), directory).read_text(encoding="utf-8")


def test_both_observers_are_rows_of_one_table(tmp_path: Path) -> None:
    heading, ours, theirs = rows_of(page(tmp_path, OPINION), "trtllm-bench of TensorRT-LLM 1.2.1 asked")
    assert heading[1:3] == ["requests", "tokens/sper device"]
    assert (ours[0], theirs[0]) == ("this judge", "its benchmark")
    assert theirs[1:] == ["24", "1,234", "5.00", "31.0 / 32.0 / 33.0", "106 / 107 / 108"]


@pytest.mark.parametrize("opinion", [NoOpinion(reason="<no program>"), None])
def test_without_figures_there_is_a_reason_or_nothing(tmp_path: Path, opinion: NoOpinion | None) -> None:
    text = page(tmp_path, opinion)
    assert ("no second opinion: &lt;no program&gt;" in text) == (opinion is not None)
    assert "its benchmark" not in text
