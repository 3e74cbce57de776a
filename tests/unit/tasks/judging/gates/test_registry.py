"""A gate that is added to the registry alone is seen wherever gates are: verdict, report, run page, reuse."""

from pathlib import Path
from typing import Literal

import pytest
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms
from support.judging.verdict_combinations import require_total

from flows.prefect_run.tables import engine_figures
from tasks.judging import JudgedResult, JudgingProtocol, Measured, NotMeasured
from tasks.judging.decide import is_conclusive, rejecting
from tasks.judging.decide.table import conditions, markdown_table, verdict_table
from tasks.judging.gates import Evidence, Figure, Gate, GateOutcome, Rule, Shown, Tile, registry
from tasks.judging.gates.gate import Asks
from tasks.judging.gates.rule import Condition
from tasks.judging.judge import judge_engine
from tasks.judging.report import render_report

ASKED = protocol(samples=400, margin=0.02, first_pairs=6)
Word = Literal["pass", "fail", "unsure"]


class ToyOutcome(GateOutcome):
    outcome: Word
    texts: int


class ToyGate(Gate[ToyOutcome]):
    """Comes to what the test says."""

    name = "toy"
    section = "Toys"
    conditions = (Condition("toy", ("pass", "fail", "unsure")),)
    outcome_type = ToyOutcome

    def __init__(self, comes_to: Word, asks: Asks = "answers") -> None:
        self._comes_to = comes_to
        self.asks = asks
        self.rules = (
            Rule("toy-fails", {"toy": ("fail",)}, "rejected", "the toy is broken"),
            Rule(
                "toy-unsure", {"toy": ("unsure",)}, "inconclusive", "nobody knows whether the toy is broken"
            ),
        )

    def judge(self, evidence: Evidence) -> ToyOutcome:
        texts = len(evidence.accuracy.samples)
        if self.asks == "rounds":
            texts = evidence.point.engine.requests
        return ToyOutcome(outcome=self._comes_to, reason=f"The toy saw {texts} texts.", texts=texts)

    def show(self, outcome: ToyOutcome, evidence: Evidence) -> Shown:
        texts = str(outcome.texts)
        return Shown(
            (Figure("toy: texts", "texts", texts, limit="any"),), (Tile("Toy texts", texts),), ("1 + 1",)
        )


@pytest.fixture(params=["answers", "rounds"])
def asks(request: pytest.FixtureRequest) -> Asks:
    return request.param  # type: ignore[no-any-return]


def register(monkeypatch: pytest.MonkeyPatch, comes_to: Word, asks: Asks) -> None:
    """Before the last gate, which has the last word."""
    known = registry.GATES
    monkeypatch.setattr(registry, "GATES", (*known[:-1], ToyGate(comes_to, asks), known[-1]))


def faultless(asked: JudgingProtocol = ASKED) -> Measured:
    return measured(asked.digest, [0.0] * 400, ratio=1.4)


def judged(made: Measured) -> JudgedResult:
    rich = PRICES.model_copy(update={"requests_per_day": 20_000_000})
    return judge_engine(made, ASKED, terms(rich), SUBJECT)


@pytest.mark.parametrize(
    ("comes_to", "row"), [("pass", "pays"), ("fail", "toy-fails"), ("unsure", "toy-unsure")]
)
def test_its_rules_decide_the_verdict(
    monkeypatch: pytest.MonkeyPatch, asks: Asks, comes_to: Word, row: str
) -> None:
    assert judged(faultless()).verdict.row == "pays"
    register(monkeypatch, comes_to, asks)
    verdict = judged(faultless()).verdict
    assert verdict.row == row
    assert len(verdict.reasons) == sum(gate.asked_by(ASKED) for gate in registry.GATES)
    assert verdict.reasons[0].startswith("The toy saw") == (comes_to != "pass")


def test_the_table_stays_total(monkeypatch: pytest.MonkeyPatch, asks: Asks) -> None:
    before = {row.id: row for row in verdict_table()}
    register(monkeypatch, "pass", asks)
    rows = verdict_table()
    require_total(rows)
    assert {row.id for row in rows} - before.keys() == {"toy-fails", "toy-unsure"}
    assert [name for name in conditions() if name == "toy"] == ["toy"]
    assert "| toy |" in markdown_table()
    pays = next(row for row in rows if row.id == "pays")
    assert dict(pays.when) == {**before["pays"].when, "toy": ("pass",)}


def test_the_report_and_the_page_of_the_run_show_it(
    monkeypatch: pytest.MonkeyPatch, asks: Asks, tmp_path: Path
) -> None:
    register(monkeypatch, "fail", asks)
    result = judged(faultless())
    text = render_report(result, tmp_path).read_text(encoding="utf-8")
    for shown in (
        '<th scope="row">toy</th>',
        '<span class="mark bad">fail</span>',
        "<h2>Toys</h2>",
        "Toy texts",
        "1 + 1",
    ):
        assert shown in text
    (row,) = [row for row in engine_figures(result) if row["gate"] == "toy: texts"]
    assert (row["outcome"], row["limit"]) == ("fail", "any")
    assert JudgedResult.model_validate_json(result.model_dump_json()) == result
    assert result.outcomes.gates["toy"].texts == int(row["measured"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("comes_to", ["pass", "unsure"])
def test_a_measurement_is_reused_only_if_it_could_decide(
    monkeypatch: pytest.MonkeyPatch, asks: Asks, comes_to: Word
) -> None:
    assert is_conclusive(faultless(), ASKED)
    register(monkeypatch, comes_to, asks)
    assert is_conclusive(faultless(), ASKED) == (comes_to == "pass")


def test_it_rejects_before_rounds_are_timed_if_it_asks_for_answers_alone(
    monkeypatch: pytest.MonkeyPatch, asks: Asks
) -> None:
    register(monkeypatch, "fail", asks)
    assert rejecting(faultless().accuracy, ASKED) == (("toy",) if asks == "answers" else ())


def test_it_has_no_outcome_if_it_asks_for_rounds_and_none_was_timed(
    monkeypatch: pytest.MonkeyPatch, asks: Asks
) -> None:
    register(monkeypatch, "pass", asks)
    left_out = faultless().model_copy(update={"speed": NotMeasured(reason="No round was timed.")})
    result = judged(left_out)
    assert ("toy" in result.outcomes.gates) == (asks == "answers")
    assert result.outcomes.conditions()["toy"] == ("pass" if asks == "answers" else "not-measured")
    assert is_conclusive(left_out, ASKED)
