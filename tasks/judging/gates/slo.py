"""The gate `slo`: the service level objective, by the pooled 99th percentiles at the operating point."""

from typing import Literal

from pydantic import Field

from engine_specs.spec import Slo
from tasks.judging.gates.figures import Figure, Shown, Tile, Use, interval_figure
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.results import Interval, LoadSummary
from tasks.judging.statistics import share_interval

REFERENCE_SLO = "reference slo"


class SloOutcome(GateOutcome):
    """The 99th percentiles of the engine against the objective."""

    outcome: Literal["met", "missed"]
    good_share: Interval = Field(description="Share of the engine's requests that met the objective.")
    reference_meets: bool = Field(description="Whether the fastest vLLM configuration met it.")


class SloGate(Gate[SloOutcome]):
    """The gate; see the module. Whether vLLM meets the objective is a separate condition."""

    name = "slo"
    asks = "rounds"
    section = "Speed"
    conditions = (Condition("slo", ("met", "missed")), Condition(REFERENCE_SLO, ("met", "missed")))
    outcome_type = SloOutcome
    rules = (
        Rule(
            "slo-missed",
            {"slo": ("missed",), REFERENCE_SLO: ("met",)},
            "stay-on-vllm",
            "the engine misses the service level objective, which vLLM meets",
        ),
        Rule(
            "slo-missed-by-both",
            {"slo": ("missed",), REFERENCE_SLO: ("missed",)},
            "stay-on-vllm",
            "both miss the service level objective: compiling does not help, other hardware or less load may",
        ),
        Rule(
            "slo-met-by-engine-alone",
            {"slo": ("met",), REFERENCE_SLO: ("missed",)},
            "compile",
            "accurate, and meets the service level objective, which vLLM misses, at any ratio and price",
        ),
    )

    def judge(self, evidence: Evidence) -> SloOutcome:
        """Judge whether engine and reference meet the objective."""
        point, slo = evidence.point, evidence.protocol.workload.slo
        # That no vLLM meets the objective is a reason to compile at any ratio, so each of them counts.
        references = [one.reference for one in evidence.timed.deciding]
        reference = next((one for one in references if meets(one, slo)), references[0])
        return judge_slo(point.engine, reference, slo, confidence=evidence.protocol.speed.gate.confidence)

    def values(self, outcome: SloOutcome) -> dict[str, str]:
        """Return whether each side met the objective."""
        return {self.name: outcome.outcome, REFERENCE_SLO: "met" if outcome.reference_meets else "missed"}

    def show(self, outcome: SloOutcome, evidence: Evidence) -> Shown:
        """Show both latencies with limit and reference, and the share of requests within the objective."""
        mine, theirs, slo = evidence.point.engine, evidence.point.reference, evidence.protocol.workload.slo
        ttft = f"limit {slo.ttft_p99_ms:g}, reference {theirs.ttft_ms.p99:.1f}"
        itl = f"limit {slo.itl_p99_ms:g}, reference {theirs.itl_ms.p99:.2f}"
        share = interval_figure(
            "SLO: requests within it", "share", outcome.good_share, "{:.3f}", decisive=False
        )
        return Shown(
            (*latency_figures(mine, theirs, slo), share),
            (
                Tile("TTFT p99", f"{mine.ttft_ms.p99:.1f}", "ms", ttft),
                Tile("ITL p99", f"{mine.itl_ms.p99:.2f}", "ms", itl),
            ),
        )


def judge_slo(engine: LoadSummary, reference: LoadSummary, slo: Slo, *, confidence: float) -> SloOutcome:
    """Judge the 99th percentiles of the engine at the operating point against the objective."""
    met, reference_met = meets(engine, slo), meets(reference, slo)
    share = share_interval(round(engine.good_share * engine.requests), engine.requests, confidence)
    reason = (
        f"TTFT p99 is {engine.ttft_ms.p99:.1f} ms (limit {slo.ttft_p99_ms:g}), "
        f"ITL p99 {engine.itl_ms.p99:.2f} ms "
        f"(limit {slo.itl_p99_ms:g}): the objective is {'met' if met else 'missed'}. {share.estimate:.1%} of "
        f"{engine.requests} requests kept it, at {confidence:.0%} confidence at least {share.lower:.1%}; "
        f"the reference has {reference.ttft_ms.p99:.1f} ms and {reference.itl_ms.p99:.2f} ms: it "
        f"{'meets' if reference_met else 'misses'} the objective."
    )
    return SloOutcome(
        outcome="met" if met else "missed",
        reason=reason,
        good_share=share,
        reference_meets=reference_met,
    )


def meets(summary: LoadSummary, slo: Slo) -> bool:
    """Whether the pooled 99th percentiles of one side are within the objective."""
    return summary.ttft_ms.p99 <= slo.ttft_p99_ms and summary.itl_ms.p99 <= slo.itl_p99_ms


def latency_figures(side: LoadSummary, reference: LoadSummary, slo: Slo) -> tuple[Figure, ...]:
    """Return the pooled 99th percentiles of a side and of the reference, each with its limit."""
    return tuple(
        Figure(
            f"SLO: {name}",
            "ms",
            f"{mine:.2f}",
            limit=f"≤ {limit:g}",
            use=Use(mine / limit, mine / limit, mine / limit),
            reference=f"{theirs:.2f}{'' if theirs <= limit else ' (missed)'}",
        )
        for name, mine, theirs, limit in (
            ("TTFT p99", side.ttft_ms.p99, reference.ttft_ms.p99, slo.ttft_p99_ms),
            ("ITL p99", side.itl_ms.p99, reference.itl_ms.p99, slo.itl_p99_ms),
        )
    )
