"""The limits and defaults that documents state are those of the code.

Figures that were measured are not held here: they carry their date. Whoever words a sentence anew words its
row anew.
"""

import math
import re
from typing import Any

import pytest
import yaml
from support.paths import ROOT

from artifacts.settings import Settings
from engine_specs.spec import AccuracyGate, SpeedGate
from engine_specs.tables import load_kinds, load_targets
from tasks.comparison.questions import (
    LEAST_LONGEST_CONTEXT,
    MOST_IN_FLIGHT,
    MOST_TO_THE_END,
    ROWS_FULL,
    START_TOKENS,
)
from tasks.evidence.drift import NEGLIGIBLE, TOLERANCE
from tasks.hosts.gpu_release import RELEASE_LIMIT_S
from tasks.hosts.host_watch import LEAST_SPAN_S, QUIET
from tasks.judging.conditions import MOST_FOREIGN, MOST_MADE_AGAIN, MOST_STEAL
from tasks.judging.gates.answers.length import ENDED_NEEDED
from tasks.judging.measure.accuracy.excerpts import EXCERPTS, TOKENS_BEFORE
from tasks.judging.measure.contest.block_budget import LEAST_ROUNDS, MOST_ROUNDS
from tasks.judging.measure.disturbance.idle import FIRST_PAIRS, MORE_PAIRS, MOST_PAIRS
from tasks.judging.protocol import AccuracyPlan, OpenLoopPlan, SpeedPlan
from tasks.judging.statistics.looks import attempt_confidence, early_confidence
from tasks.judging.statistics.miss_bounds import ALLOWED_SHARE, requests_of_look, requests_without_miss
from tasks.judging.statistics.parts import part_interval
from tasks.judging.statistics.ratio_bounds import LEAST_BATCHES
from tasks.judging.statistics.regret_bounds import gross_error_interval, samples_to_pass
from tasks.stages.rehearsal.cycles import LEAST_CYCLES, MOST_CYCLES

MEASURING, EVIDENCE, TARGETS = "docs/measuring.md", "docs/evidence.md", "docs/targets-and-kinds.md"
REPORT, NUMERALS = "docs/report.md", {3: "three", 6: "six", 12: "twelve"}
ACCURACY = AccuracyGate.model_fields
SPEED = SpeedPlan.model_fields
ASKED = AccuracyPlan.model_fields


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def inverse(share: float) -> str:
    return f"1/{round(1 / share)}"


def first_look(variants: int) -> int:
    """Requests of the first look of a first attempt, if a spec has so many variants."""
    return requests_of_look(attempt_confidence(1 - 0.05 / variants, 1), 1)


STATED = [
    (MEASURING, f"The first look is taken after {SPEED['first_pairs'].default} pairs of rounds"),
    (MEASURING, f"or {SPEED['first_block_pairs'].default} of blocks"),
    (MEASURING, f"deviation of {percent(SPEED['start_spread'].default)} for this in every interval"),
    (MEASURING, f"if an engine {percent(SPEED['resolution'].default)} above the bar would have been found"),
    (MEASURING, f"as long as there are {NUMERALS[LEAST_BATCHES]}"),
    (MEASURING, ": " + ", ".join(inverse(1 - attempt_confidence(0.0, k)) for k in (1, 2, 3)) + ", "),
    (MEASURING, "early ones " + ", ".join(inverse(1 - early_confidence(0.0, k)) for k in (1, 2, 3)) + ", "),
    (MEASURING, f"this takes {requests_without_miss(0.95)} requests at 95 % confidence"),
    (MEASURING, f"upper bounds of both shares are at most {percent(ALLOWED_SHARE)}"),
    (MEASURING, f"comes after {first_look(1)} requests, of one with six variants after {first_look(6)}"),
    (MEASURING, f"in stretches of about {OpenLoopPlan().stretch_requests}"),
    (MEASURING, f"at most {percent(QUIET.share)} over {QUIET.for_s:g} seconds"),
    (MEASURING, f"for up to {QUIET.limit_s / 60:g} minutes"),
    (MEASURING, f"in which foreign load was over {percent(MOST_FOREIGN)}, steal over {percent(MOST_STEAL)}"),
    (MEASURING, f"more than a {'quarter' if MOST_MADE_AGAIN == 0.25 else MOST_MADE_AGAIN} of the pairs"),
    (MEASURING, f"shorter than {'half a second' if LEAST_SPAN_S == 0.5 else LEAST_SPAN_S}"),
    (MEASURING, f"in {FIRST_PAIRS}, {FIRST_PAIRS + MORE_PAIRS} or {MOST_PAIRS} pairs of rounds"),
    (MEASURING, f"({LEAST_ROUNDS} to {MOST_ROUNDS})"),
    (MEASURING, f"not within {'a minute' if RELEASE_LIMIT_S == 60 else RELEASE_LIMIT_S}"),
    (MEASURING, f"{SPEED['checked_requests'].default} timed requests of the engine at the operating point"),
    (MEASURING, f"and {SPEED['checked_elsewhere'].default} at each other concurrency"),
    (MEASURING, f"`length_samples` ({ACCURACY['length_samples'].default})"),
    (MEASURING, f"`depth_samples` ({ACCURACY['depth_samples'].default})"),
    (MEASURING, f"`gross_error_nats` ({ACCURACY['gross_error_nats'].default:g})"),
    (MEASURING, f"`max_gross_error_share` ({ACCURACY['max_gross_error_share'].default:g})"),
    (MEASURING, f"`max_part_regret_nats` ({ACCURACY['max_part_regret_nats'].default:g}:"),
    (MEASURING, f"up to the workload's prompts, {LEAST_LONGEST_CONTEXT} tokens at least"),
    (MEASURING, f"| starts | the same | {START_TOKENS} tokens |"),
    (MEASURING, f"{'twice' if ROWS_FULL == 2 else ROWS_FULL} as many as the engine computes at once"),
    (MEASURING, f"(`max_batch_size`), up to {MOST_IN_FLIGHT}, if these are more"),
    (MEASURING, f"at most {MOST_TO_THE_END:,} tokens"),
    (MEASURING, f"at most {ASKED['vocabulary_texts'].default} texts"),
    (MEASURING, f"the reference ended fewer than {ENDED_NEEDED} of its answers"),
    (MEASURING, f"({SpeedGate.model_fields['second_opinion_minutes'].default:g} by default"),
    (REPORT, f"the {NUMERALS[EXCERPTS]} largest departures: the last {TOKENS_BEFORE} tokens"),
    ("README.md", f"the measurement wait {NUMERALS[round(QUIET.limit_s / 60)]} minutes each"),
    (EVIDENCE, f"not all within {percent(NEGLIGIBLE)}"),
    (EVIDENCE, f"stays within {percent(TOLERANCE)}"),
    (EVIDENCE, f"{LEAST_CYCLES} to {MOST_CYCLES}, whatever they show"),
]


def words(document: str) -> str:
    """The text of a document with single spaces."""
    return " ".join((ROOT / document).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(("document", "sentence"), STATED, ids=[sentence for _, sentence in STATED])
def test_a_figure_in_a_document_is_that_of_the_code(document: str, sentence: str) -> None:
    assert sentence in words(document)


GATE = AccuracyGate(
    dataset="owner/texts", revision="c" * 40, split="test", samples=4000, max_regret_nats_per_token=0.01
)


def test_so_many_texts_without_regret_pass_the_gate_depth() -> None:
    (texts,) = map(int, re.findall(r"Without any regret, (\d+) texts in a part are enough", words(MEASURING)))
    upper = {n: part_interval([(0.0, 64.0)] * n, GATE, parts=5).upper for n in (texts - 1, texts)}
    assert upper[texts] <= GATE.max_part_regret_nats < upper[texts - 1]


def test_so_many_texts_without_a_gross_error_pass_their_gate() -> None:
    (stated,) = re.findall(r"engine without any passes with ([\d,]+) texts or more", words(MEASURING))
    texts = int(stated.replace(",", ""))
    upper = {n: gross_error_interval([0.0] * n, [1] * n, GATE).upper for n in (texts - 10, texts)}
    assert upper[texts] <= GATE.max_gross_error_share < upper[texts - 10]


def test_the_settings_have_the_defaults_that_the_readme_states() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `ENGINERY_([A-Z_]+)` \| `?([^|`]+)`? \|", readme, re.MULTILINE)
    stated = {name.lower(): default.strip() for name, default in rows}
    fixed = {
        name: field.default for name, field in Settings.model_fields.items() if field.default_factory is None
    }
    said = {None: ("none", "the packaged specs", "by memory and GPUs"), "": ("empty",)}
    wrong = {
        name: stated[name]
        for name, default in fixed.items()
        if stated[name] not in said.get(default, (f"{default:g}" if isinstance(default, float) else default,))
    }
    assert wrong == {}


def test_the_table_of_targets_has_each_gpu_once_at_its_compute_capability() -> None:
    stated = {
        name: {*re.findall(r"\d+\.\d", capabilities)}
        for capabilities, names in table(TARGETS, "| compute capability | targets |")
        for name in quoted(names)
    }
    gpus = {name: target for name, target in load_targets().items() if target.accelerator == "cuda"}
    assert stated.keys() == gpus.keys()
    assert {
        name for name, target in gpus.items() if str(target.compute_capability) not in stated[name]
    } == set()


def table(document: str, header: str) -> list[list[str]]:
    """The cells of a table, row by row, without its header."""
    text = (ROOT / document).read_text(encoding="utf-8")
    rows = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def of_kind(name: str) -> dict[str, Any]:
    path = ROOT / "engine_specs" / "kinds" / f"{name}.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_every_kind_has_a_row_that_says_what_it_takes() -> None:
    assert {kind.strip("`") for kind, _ in table(TARGETS, "| kind | takes |")} == set(load_kinds())


@pytest.mark.parametrize(("kind", "takes"), table(TARGETS, "| kind | takes |"))
def test_the_row_of_a_kind_names_what_it_takes_and_nothing_else(kind: str, takes: str) -> None:
    facts = of_kind(kind.strip("`"))
    recipes = {row["name"] for row in facts["recipes"]} - {"ready_made"}
    caches = {row["name"] for row in facts["kv_caches"]} - {"none"}
    weights, _, stored = takes.partition("KV cache")
    assert quoted(weights) == recipes
    assert quoted(stored) == caches


def test_what_is_not_supported_is_listed_with_the_reason_that_plan_gives() -> None:
    stated = {
        (
            kind.strip("`"),
            "KV cache" in what,
            frozenset(quoted(what)),
            frozenset(re.findall(r"\d+\.\d", where)),
            why,
        )
        for kind, what, where, why in table(TARGETS, "| kind | what | where | why |")
    }
    rows = [(kind, row) for kind in load_kinds() for row in of_kind(kind).get("not_supported", ())]
    assert stated == {
        (
            kind,
            row["of"] == "kv_caches",
            frozenset(row.get("names", ())),
            frozenset(row.get("compute_capabilities", ())),
            " ".join(row["reason"].split()),
        )
        for kind, row in rows
    }


def test_the_questions_that_a_task_needs_are_those_of_its_gate() -> None:
    for allowed, *stated in table("docs/task-scores.md", "| loss allowed |"):
        half = int(allowed.split()[0]) / 200
        for share, questions in zip((0.01, 0.05, 0.10), stated, strict=True):
            spread = math.sqrt(max(share, half) - half**2)
            needed = samples_to_pass(spread=spread, distance=half, worst=1 - half, confidence=0.95)
            assert math.isclose(int(questions.replace(",", "")), needed, rel_tol=0.04), (
                "stated in round numbers"
            )


CAPABILITIES = ("8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1")


def reached(stated: str) -> set[str]:
    """The compute capabilities that a cell states: `from A on`, `A to B`, or one by one."""
    if first := re.fullmatch(r"from ([\d.]+) on", stated):
        return set(CAPABILITIES[CAPABILITIES.index(first[1]) :])
    if span := re.match(r"([\d.]+) to ([\d.]+)", stated):
        return set(CAPABILITIES[CAPABILITIES.index(span[1]) : CAPABILITIES.index(span[2]) + 1])
    return set(re.findall(r"\b\d+\.\d\b", stated))


# Two rows are of two formats each, and are read by people only.
FORMATS = {
    "ModelOpt NVFP4": ("modelopt", "NVFP4"),
    "ModelOpt W4A16 NVFP4": ("modelopt", "W4A16_NVFP4"),
    "ModelOpt MXFP8": ("modelopt", "MXFP8"),
    "ModelOpt FP8 in blocks (`fp8_pb_wo`)": ("modelopt", "FP8_PB_WO"),
    "compressed-tensors W8A8 FP8": ("compressed-tensors", "W8A8_FP8"),
    "compressed-tensors W8A8 INT8": ("compressed-tensors", "W8A8_INT8"),
    "compressed-tensors NVFP4": ("compressed-tensors", "NVFP4"),
    "`fp8` in blocks of 128 x 128 (DeepSeek's own)": ("fp8", "FP8_BLOCK"),
    "`mxfp4` (gpt-oss's own)": ("mxfp4", "MXFP4"),
}


def test_ready_made_formats_are_taken_where_the_table_says() -> None:
    stated = {name: cells for name, *cells in table(TARGETS, "| format | `vllm` | `trtllm-torch` |")}
    assert stated.keys() >= FORMATS.keys()
    for column, kind in enumerate(("vllm", "trtllm-torch")):
        rows = {
            (row["tool"], row["format"]): row["compute_capabilities"] for row in of_kind(kind)["ready_made"]
        }
        found = {name: reached(stated[name][column]) for name in FORMATS}
        assert found == {name: set(rows.get(format_, ())) for name, format_ in FORMATS.items()}


@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
def test_methods_of_drafting_are_taken_where_the_documents_say(kind: str) -> None:
    rows = {row["method"]: set(row["compute_capabilities"]) for row in of_kind(kind)["speculative"]}
    stated = {name.strip("`"): cells for name, *cells in table(TARGETS, "| method | drafts with |")}
    assert rows.keys() == stated.keys()
    everywhere = set(CAPABILITIES) - {"12.1"}
    cell = 1 if kind == "vllm" else 2
    assert rows == {
        method: reached(re.sub(r".*?(?=\d+\.\d to)", "", cells[cell], count=1)) or everywhere
        for method, cells in stated.items()
    }
    assert "No method is taken on 12.1." in words(TARGETS)
