"""The tables: every row is whole, names its source, and agrees with the other tables."""

from pathlib import Path

import pytest

from engine_specs.reading import KINDS_DIR, TARGETS_FILE, SpecInvalid, read_data
from engine_specs.tables import (
    kind_facts,
    load_kinds,
    load_kv_caches,
    load_recipes,
    load_targets,
    recipes,
    targets,
)
from engine_specs.tables.targets import TargetTable

# /proc/cpuinfo spells these otherwise than manuals and compilers do.
FOREIGN_SPELLINGS = {
    "sse3",
    "lzcnt",
    "lahf",
    "lahf-sahf",
    "cmpxchg16b",
    "osxsave",
    "osfxsr",
    "sse4.1",
    "sse4.2",
    "bmi",
}
LEVELS = ["cpu-x86-64-v2", "cpu-x86-64-v3", "cpu-x86-64-v4"]
ADDED = {
    "cpu-x86-64-v3": {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"},
    "cpu-x86-64-v4": {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
}


@pytest.mark.parametrize("name", LEVELS)
def test_a_cpu_target_lists_its_flags_as_linux_spells_them(name: str) -> None:
    target = load_targets()[name]
    assert list(target.cpu_features) == sorted(set(target.cpu_features))
    assert not set(target.cpu_features) & FOREIGN_SPELLINGS
    assert {"pni", "cx16", "lahf_lm", "popcnt", "sse4_2"} <= set(target.cpu_features)
    assert (target.work_pool, target.machine, target.accelerator) == ("enginery-cpu", "x86_64", "cpu")
    assert f"cpu-{target.march}" == name
    assert "psABI" in target.source


@pytest.mark.parametrize(("lower", "higher"), [(LEVELS[0], LEVELS[1]), (LEVELS[1], LEVELS[2])])
def test_each_level_adds_exactly_its_own_flags(lower: str, higher: str) -> None:
    table = load_targets()
    below, above = set(table[lower].cpu_features), set(table[higher].cpu_features)
    assert below < above
    assert above - below == ADDED[higher]


def test_recipes_know_what_modelopt_calls_them() -> None:
    table = load_recipes()
    none, int8, fp8 = table["none"], table["int8_weight_only"], table["fp8"]
    assert (none.preset("0.47"), none.quant_algo, none.weight_bits) == (None, None, None)
    assert int8.preset("0.47").name == "INT8_WEIGHT_ONLY_CFG"
    assert (int8.quant_algo, int8.needs_calibration) == ("W8A16", False)
    assert fp8.preset("0.47").name == "FP8_DEFAULT_CFG"
    assert (fp8.quant_algo, fp8.needs_calibration) == ("FP8", True)
    assert load_kv_caches()["fp8"].preset("0.47").name == "FP8_KV_CFG"


@pytest.mark.parametrize(
    "row", [r for r in load_recipes().values() if r.form == "preset"], ids=lambda r: r.name
)
def test_a_recipe_that_quantizes_says_how_and_what_it_leaves_out(row: recipes.Recipe) -> None:
    assert row.quant_algo
    assert row.weight_bits
    assert row.presets
    assert "lm_head" in row.left_out


@pytest.mark.parametrize("facts", load_kinds().values(), ids=lambda f: f.name)
def test_a_kind_draws_on_the_other_tables(facts: kind_facts.KindFacts) -> None:
    assert {row.name for row in facts.recipes} <= set(load_recipes())
    assert {row.name for row in facts.kv_caches} <= set(load_kv_caches())
    assert any(
        t.platform in facts.platforms and t.accelerator in facts.accelerators for t in load_targets().values()
    )
    assert all(row.source for row in (*facts.architectures, *facts.recipes))


LEFT_OUT = [(facts, row) for facts in load_kinds().values() for row in facts.not_supported]


@pytest.mark.parametrize(("facts", "row"), LEFT_OUT, ids=lambda value: getattr(value, "reason", None))
def test_nothing_is_both_left_out_and_supported(
    facts: kind_facts.KindFacts, row: kind_facts.NotSupported
) -> None:
    supported = {"recipes": facts.recipes, "kv_caches": facts.kv_caches}
    known = {"recipes": set(load_recipes()), "kv_caches": set(load_kv_caches())}
    if row.of == "both":
        # What remains where everything else is left out is in the kind's rows.
        assert row.compute_capabilities
        return
    assert set(row.names) <= known[row.of]
    for own in (one for one in supported[row.of] if one.name in row.names):
        assert row.compute_capabilities
        assert not set(own.compute_capabilities) & set(row.compute_capabilities)


def test_every_recipe_and_every_format_of_the_kv_cache_is_taken_by_some_kind() -> None:
    kinds = load_kinds().values()
    assert [name for name in load_recipes() if not any(facts.recipe(name) for facts in kinds)] == []
    assert [name for name in load_kv_caches() if not any(facts.kv_cache(name) for facts in kinds)] == []


@pytest.mark.parametrize("facts", load_kinds().values(), ids=lambda f: f.name)
def test_what_no_row_names_is_left_out_as_not_established(facts: kind_facts.KindFacts) -> None:
    said = f"not established for {facts.name}: no row of engine_specs/kinds/{facts.name}.yaml names it"
    bare = facts.model_copy(update={"not_supported": ()})
    assert bare.why_not("recipes", "int3_other", None) == said
    assert bare.why_not("kv_caches", "int2_other", "9.0") == said


@pytest.mark.parametrize("facts", load_kinds().values(), ids=lambda f: f.name)
def test_what_goes_together_is_what_the_kind_has(facts: kind_facts.KindFacts) -> None:
    recipes_of_kind = {row.name for row in facts.recipes}
    for row in facts.recipes:
        assert set(row.candidates or ()) <= recipes_of_kind
        assert (row.candidates is not None) == (load_recipes()[row.name].form == "search")
    for cache in facts.kv_caches:
        assert set(cache.recipes or ()) <= recipes_of_kind
        assert set(cache.architectures or ()) <= set(facts.architecture_names)


def test_the_kind_of_two_devices_is_as_other_layers_expect_it() -> None:
    facts = load_kinds()["aot-inductor"]
    assert facts.architecture_names == ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
    assert [row.name for row in facts.recipes] == ["none", "int8_weight_only", "fp8"]
    assert facts.toolchains.model_dump() == {
        "quantize": {"cpu": "modelopt-cpu", "cuda": "modelopt-cuda"},
        "build": {"cpu": "aot-cpu", "cuda": "aot-cuda"},
        "serve": {"cpu": "aot-serve-cpu", "cuda": "aot-cuda"},
    }
    assert (facts.export_format, facts.end_of_life, facts.max_tensor_parallel) == ("hf", None, 1)
    fp8 = facts.recipe("fp8")
    assert fp8 is not None
    assert (fp8.cpu, "8.0" in fp8.compute_capabilities, "8.9" in fp8.compute_capabilities) == (
        False,
        False,
        True,
    )


@pytest.mark.parametrize("path", sorted(KINDS_DIR.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_kind_file_is_a_kind(path: Path) -> None:
    assert path.stem in load_kinds()


def test_a_wrong_row_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text(TARGETS_FILE.read_text().replace("    accelerator: cpu\n", "    accelerator: tpu\n", 1))
    line = path.read_text().splitlines().index("    accelerator: tpu") + 1
    with pytest.raises(SpecInvalid) as caught:
        read_data(path, TargetTable)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.found) == (line, "targets[0].accelerator", "'tpu'")


def test_a_table_that_names_a_row_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text(TARGETS_FILE.read_text().replace("name: cpu-x86-64-v4", "name: cpu-x86-64-v3"))
    monkeypatch.setattr(targets, "TARGETS_FILE", path)
    targets.load_targets.cache_clear()
    with pytest.raises(SpecInvalid, match="target: found cpu-x86-64-v3; each target once"):
        targets.load_targets()


def test_a_kind_must_be_named_as_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.yaml").write_text((KINDS_DIR / "aot-inductor.yaml").read_text())
    monkeypatch.setattr(kind_facts, "KINDS_DIR", tmp_path)
    kind_facts.load_kinds.cache_clear()
    with pytest.raises(SpecInvalid, match="name: found aot-inductor; other, as the file is named"):
        kind_facts.load_kinds()
    kind_facts.load_kinds.cache_clear()


def test_an_end_of_life_is_a_day_with_a_source(tmp_path: Path) -> None:
    path = tmp_path / "aot-inductor.yaml"
    facts = (KINDS_DIR / "aot-inductor.yaml").read_text()
    path.write_text(
        facts.replace(
            "end_of_life: null", 'end_of_life: {date: 2027-03-31, instead: another, source: "release notes"}'
        )
    )
    end = read_data(path, kind_facts.KindFacts).end_of_life
    assert end is not None
    assert (end.date.isoformat(), end.source) == ("2027-03-31", "release notes")
