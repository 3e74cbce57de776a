"""The table of references: every setting is one that vLLM's own parser takes, on hardware that exists."""

import shlex
from pathlib import Path

import pytest
from support.standin.interface_tables import broken, table

from engine_specs.reading import REFERENCES_FILE, SpecInvalid
from engine_specs.spec import list_specs, load_spec, resolve_variants
from engine_specs.tables import load_references, load_targets
from engine_specs.tables import references as module
from engine_specs.tables.references import ServedRow
from tasks.comparison import ReferenceTrees, reference_sides
from tasks.kinds.vllm.flags import flags_of

INTERFACE = table("vllm-serve-0.32")
TABLE = load_references()
ROWS: tuple[ServedRow, ...] = (*TABLE.recommended, *TABLE.quantizes)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.source[:60])
def test_vllm_knows_every_setting_with_its_value(row: ServedRow) -> None:
    flags = [part for name, value in row.settings.items() for part in flags_of(name, value)]
    assert broken(INTERFACE, flags) == []
    assert bool(flags) == bool(row.settings)


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_vllm_takes_the_whole_command_of_every_reference_of_a_shipped_spec(path: Path) -> None:
    spec = load_spec(path)
    for variant in resolve_variants(spec):
        for side in reference_sides(spec, variant, ReferenceTrees("c", "w"), ("avx2",)):
            arguments = ["8000" if part == "{port}" else part for part in side.serve.argv[3:]]
            assert broken(INTERFACE, arguments) == [], shlex.join(arguments)


def test_rows_are_about_hardware_of_a_target() -> None:
    known = {target.compute_capability for target in load_targets().values()} | {"cpu"}
    assert {hardware for row in ROWS for hardware in row.hardware} <= known
    assert all(row.hardware for row in ROWS)


def test_what_is_left_to_the_placement_or_the_variant_is_not_recommended() -> None:
    named = {name for row in TABLE.recommended for name in row.settings}
    assert named.isdisjoint({"gpu_memory_utilization", "kv_cache_dtype", "quantization", "max_num_seqs"})


def test_one_model_has_one_recommendation_per_hardware(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = REFERENCES_FILE.read_text(encoding="utf-8")
    again = "  - {model: Qwen/Qwen3-8B, cpu: true, settings: {}, source: somebody said so}\n"
    changed = tmp_path / "references.yaml"
    changed.write_text(text.replace("\n# What vLLM quantizes", f"\n{again}\n# What vLLM quantizes"))
    monkeypatch.setattr(module, "REFERENCES_FILE", changed)
    with pytest.raises(SpecInvalid, match="Qwen/Qwen3-8B on cpu"):
        load_references.__wrapped__()
