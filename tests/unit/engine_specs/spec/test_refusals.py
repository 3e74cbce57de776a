"""Every refusal of a single field: its line, its field, what was found and what would be accepted."""
# ruff: noqa: E501 (one row a refusal reads best)

import pytest
from support.specs.text import COMMIT, edited, problems_in

from engine_specs.reading import Problem

REFUSED = [
    # old text, new text, line, field, found, part of what is accepted
    ("name: tiny", "name: Tiny_One", 1, "name", "'Tiny_One'", "lower-case letters"),
    ("name: tiny", "name: 12", 1, "name", "the number 12", "in quotes"),
    ("name: tiny", "name: ''", 1, "name", "''", "lower-case letters"),
    ('version: "1.4"', "version: 1.4", 2, "version", "the number 1.4", '"major.minor", such as "1.4", in quotes'),
    ('version: "1.4"', "version: 1.10", 2, "version", "the number 1.10", "in quotes"),
    ('version: "1.4"', 'version: "1.4.2"', 2, "version", "'1.4.2'", '"major.minor"'),
    ('version: "1.4"', 'version: "01.4"', 2, "version", "'01.4'", '"major.minor"'),
    ("repo: owner/model", "repo: owner/../etc", 4, "checkpoint.repo", "'owner/../etc'", "owner/name"),
    (COMMIT, "1234567890123456789012345678901234567890", 5, "checkpoint.revision", "the number 12345678", "in quotes"),
    (COMMIT, "a b", 5, "checkpoint.revision", "'a b'", "commit of 40"),
    ("compile: when-justified", "compile: sometimes", 6, "compile", "'sometimes'", "one of: when-justified, always"),
    ("compile: when-justified", "compile: alway", 6, "compile", "'alway'", "did you mean always?"),
    ("kind: aot-inductor", "kind: aot_inductor", 8, "defaults.engine.kind", "'aot_inductor'", "did you mean aot-inductor?"),
    ("recipe: int8_weight_only", "recipe: int8", 10, "defaults.quantization.recipe", "'int8'", "known recipes: auto, fp8"),
    ("max_batch_size: 4", "max_batch_size: four", 12, "defaults.shape.max_batch_size", "'four'", "a whole number"),
    ("max_batch_size: 4", "max_batch_size: 4.0", 12, "defaults.shape.max_batch_size", "the number 4.0", "a whole number"),
    ("max_batch_size: 4", "max_batch_size: true", 12, "defaults.shape.max_batch_size", "true", "a whole number"),
    ("max_batch_size: 4", "max_batch_size: 0", 12, "defaults.shape.max_batch_size", "the number 0", "at least 1"),
    ("max_batch_size: 4", "max_batch_size: 010", 12, "defaults.shape.max_batch_size", "'010'", "a whole number"),
    ("max_batch_size: 4", "max_batch_size: [4]", 12, "defaults.shape.max_batch_size", "a list", "a whole number"),
    ("max_input_len: 192", "max_input: 192", 13, "defaults.shape.max_input", "an unknown key", "did you mean max_input_len?"),
    ("cpu-x86-64-v3", "cpu-x86-64", 18, "variants[0].target", "'cpu-x86-64'", "cpu-x86-64-v2, cpu-x86-64-v3"),
    ("cpu-x86-64-v3", "x86-64-v3", 18, "variants[0].target", "'x86-64-v3'", "did you mean cpu-x86-64-v3?"),
    ("cpu-x86-64-v3", "h100", 18, "variants[0].target", "'h100'", "did you mean h100-nvl or h100-pcie or h100-sxm?"),
    ("name: second", "name: a/b", 19, "variants[1].name", "'a/b'", "lower-case letters"),
    ("required: false", "required: no", 21, "variants[1].required", "'no'", "true or false"),
    ("required: false", "tensor_parallel: 0", 21, "variants[1].tensor_parallel", "the number 0", "at least 1"),
    ("input_tokens: 64", "input_tokens:", 25, "workload.input_tokens", "nothing", "a whole number (Tokens of each prompt.)"),
    ("[1, 2, 8]", "8", 27, "workload.concurrency", "the number 8", "a list"),
    ("[1, 2, 8]", "[]", 27, "workload.concurrency", "an empty list", "a list of length 1 or more"),
    ("[1, 2, 8]", "[1, 2, -8]", 27, "workload.concurrency[2]", "the number -8", "at least 1"),
    ("ttft_p99_ms: 500", "ttft_p99_ms: -5", 30, "workload.slo.ttft_p99_ms", "the number -5", "greater than 0"),
    ("ttft_p99_ms: 500", "ttft_p99_ms: .inf", 30, "workload.slo.ttft_p99_ms", "'.inf'", "a number"),
    ("ttft_p99_ms: 500", "ttft_ms: 500", 30, "workload.slo.ttft_ms", "an unknown key", "keys here: ttft_p99_ms, itl_p99_ms"),
    ("[{}, {dtype: bfloat16}]", "[]", 34, "validation.reference.configurations", "an empty list", "a list of length 1 or more"),
    ("dtype: bfloat16", "dtype: bf16", 34, "validation.reference.configurations[1].dtype", "'bf16'", "one of: auto, bfloat16"),
    ("dtype: bfloat16", "eager: true", 34, "validation.reference.configurations[1].eager", "an unknown key", "enforce_eager"),
    ("samples: 400", "samples: 4e2", 39, "validation.accuracy.samples", "the number 4e2", "a whole number"),
    ("metric: goodput_per_device", "metric: goodput", 42, "validation.speed.metric", "'goodput'", "one of: goodput_per_device"),
    ("min_speedup: 1.1", "min_speedup: 0.9", 43, "validation.speed.min_speedup", "the number 0.9", "at least 1"),
    ("budget_minutes: 3", "confidence: 95", 44, "validation.speed.confidence", "the number 95", "less than 1"),
    ("gpu_hour_usd: 0.1", "gpu_hour_usd: $0.1", 46, "economics.gpu_hour_usd", "'$0.1'", "a number"),
    ("gpu_hour_usd: 0.1", "gpu_hour_eur: 0.1", 46, "economics.gpu_hour_eur", "an unknown key", "did you mean gpu_hour_usd?"),
    ("[nightly]", "nightly", 50, "channels", "'nightly'", "a list"),
    ("[nightly]", "[Nightly]", 50, "channels[0]", "'Nightly'", "such as nightly"),
    ("[nightly]", "[nightly]\ncolour: blue", 51, "colour", "an unknown key", "keys here: name, version, checkpoint"),
    ("[nightly]", "[nightly]\n<<: {a: 1}", 51, "<<", "an unknown key", "keys here"),
    ("[nightly]", "[$CHANNEL]", 50, "channels[0]", "'$CHANNEL'", "such as nightly"),
]  # fmt: skip

MISSING = [
    ("name: tiny\n", "name", 1),
    ('version: "1.4"\n', "version", 1),
    ("  repo: owner/model\n", "checkpoint.repo", 3),
    ("    max_seq_len: 256\n", "defaults.shape.max_seq_len", 11),
    ("    target: cpu-x86-64-v4\n", "variants[1].target", 19),
    ("  operating_point: 2\n", "workload.operating_point", 24),
    ("    itl_p99_ms: 50\n", "workload.slo.itl_p99_ms", 29),
    ("    samples: 400\n", "validation.accuracy.samples", 35),
    ("  gpu_hour_usd: 0.1\n", "economics.gpu_hour_usd", 45),
]


def at(problems: tuple[Problem, ...], field: str) -> Problem:
    (problem,) = [p for p in problems if p.field == field]
    return problem


@pytest.mark.parametrize(("old", "new", "line", "field", "found", "accepted"), REFUSED)
def test_a_bad_value_is_refused_on_its_line(
    old: str, new: str, line: int, field: str, found: str, accepted: str
) -> None:
    problem = at(problems_in(edited((old, new))), field)
    assert problem.line == line
    assert problem.found.startswith(found)
    assert accepted in problem.accepted


@pytest.mark.parametrize(("gone", "field", "line"), MISSING)
def test_what_is_missing_is_reported_where_it_belongs(gone: str, field: str, line: int) -> None:
    problem = at(problems_in(edited((gone, ""))), field)
    assert (problem.line, problem.found) == (line, "")
    assert problem.accepted.startswith("required (")


def test_a_field_that_no_one_gives_is_missed_in_the_variant_that_came_closest() -> None:
    problems = problems_in(
        edited(
            ("    max_seq_len: 256\n", ""), ("max_batch_size: 2", "max_batch_size: 2\n      max_seq_len: 224")
        )
    )
    assert [(p.field, p.line) for p in problems] == [("defaults.shape.max_seq_len", 11)]


def test_every_problem_of_a_file_comes_at_once() -> None:
    problems = problems_in(
        edited(
            ('version: "1.4"', "version: 1.4"),
            (COMMIT, "main"),
            ("compile: when-justified", "compile: never\ncolour: blue"),
            ("max_batch_size: 4", "max_batch_size: lots"),
            ("max_seq_len: 256", "max_seq_len: 64"),
            ("max_num_tokens: 1024", "max_num_tokens: 100\n    max_num_tokens: 1024"),
            ("name: second", "name: first"),
            ("cpu-x86-64-v4", "cpu-x86-64-v9"),
            ("operating_point: 2", "operating_point: 3"),
            ("itl_p99_ms: 50", "itl_p99_ms: 0"),
            ("    split: heldout\n", ""),
            ("[nightly]", "[nightly, nightly]"),
        )
    )
    assert [(p.line, p.field) for p in problems] == [
        (2, "version"),
        (5, "checkpoint.revision"),
        (6, "compile"),
        (7, "colour"),
        (13, "defaults.shape.max_batch_size"),
        (15, "defaults.shape.max_seq_len"),
        (15, "defaults.shape.max_seq_len"),
        (16, "defaults.shape.max_num_tokens"),
        (17, "defaults.shape.max_num_tokens"),
        (21, "variants[1].name"),
        (22, "variants[1].target"),
        (25, "variants[1].shape.max_batch_size"),
        (30, "workload.operating_point"),
        (33, "workload.slo.itl_p99_ms"),
        (37, "validation.accuracy.split"),
        (51, "channels[1]"),
    ]


def test_a_list_of_bad_items_is_not_called_too_short() -> None:
    problems = problems_in(
        edited(("cpu-x86-64-v3", "v3"), ("cpu-x86-64-v4", "v4"), ("[nightly]", "[Nightly]"))
    )
    assert [(p.line, p.field) for p in problems] == [
        (18, "variants[0].target"),
        (20, "variants[1].target"),
        (50, "channels[0]"),
    ]


def test_a_rule_is_silent_about_values_that_could_not_be_read() -> None:
    problems = problems_in(edited(("[1, 2, 8]", "[1, two, 8]")))
    assert [(p.line, p.field) for p in problems] == [(27, "workload.concurrency[1]")]


def test_a_long_value_is_shown_shortened() -> None:
    (problem,) = problems_in(edited(("name: tiny", "name: " + "X" * 500)))
    assert problem.found == "'" + "X" * 77 + "'..."


def test_a_broken_default_is_reported_once_however_many_variants_inherit_it() -> None:
    problems = problems_in(edited(("max_input_len: 192", "max_input_len: 300")))
    assert [(p.line, p.field) for p in problems] == [(14, "defaults.shape.max_seq_len")]


def test_a_broken_default_is_reported_even_where_every_variant_overrides_it() -> None:
    problems = problems_in(
        edited(
            ("recipe: int8_weight_only", "recipe: int9"),
            ("cpu-x86-64-v3", "cpu-x86-64-v3\n    quantization: {recipe: none}"),
            ("cpu-x86-64-v4", "cpu-x86-64-v4\n    quantization: {recipe: none}"),
        )
    )
    assert [(p.line, p.field) for p in problems] == [(10, "defaults.quantization.recipe")]


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("variants:\n", "variants: []\nold_variants:\n", "variants", 16),
        ("  - name: first\n    target: cpu-x86-64-v3\n", "  - first\n", "variants[0]", 17),
        ("checkpoint:\n  repo: owner/model\n", "checkpoint: owner/model\nother:\n", "checkpoint", 3),
        ("defaults:\n", "defaults:\nold_defaults:\n", "defaults", 7),
    ],
)
def test_a_section_of_the_wrong_form_is_named_and_hides_nothing_else(
    old: str, new: str, field: str, line: int
) -> None:
    problems = problems_in(edited((old, new), ("itl_p99_ms: 50", "itl_p99_ms: 0")))
    assert at(problems, field).line == line
    assert at(problems, "workload.slo.itl_p99_ms")
