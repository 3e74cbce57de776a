"""What the quantize worker is asked: from the variant and the tables, and from the recipe file."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.quantization.cases import Case
from support.plans.identity.edits import changed, named

from engine_specs.reading import KINDS_DIR, RECIPES_FILE
from engine_specs.spec import RecipeFile, RecipeSearch
from engine_specs.tables import kind_facts, load_kinds, load_recipes, recipes
from tasks.errors import RecipeFileInvalid
from tasks.stages import Inputs, quantize
from tasks.stages.quantize import admission, read_recipe_file, request_params
from tasks.workers.common.records import as_json
from tasks.workers.quantize.request import FormatNeeds, QuantizeParams

TEXT = "quantize: {algorithm: max, quant_cfg: []}\n"
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()


def params(case: Case, folder: Path = Path()) -> QuantizeParams:
    return request_params(case.variant(), {"architectures": [case.architecture]}, folder)


def formats(case: Case) -> dict[str, FormatNeeds]:
    return {row.name: row for row in admission(case.variant()).formats}


def plan(recipe: str, kv_cache: str = "none", tp: int = 1, **more: Any) -> Case:
    return Case("trt-plan", "LlamaForCausalLM", recipe, kv_cache, tp, more=more)


def torch(recipe: str, kv_cache: str = "none", tp: int = 1, **more: Any) -> Case:
    return Case("trtllm-torch", "LlamaForCausalLM", recipe, kv_cache, tp, more=more)


def test_each_kind_gets_the_constants_of_its_own_line() -> None:
    one, other = plan("int8_weight_only", "int8"), torch("fp8", "fp8")
    asked = [admission(case.variant()) for case in (one, other)]
    lines = [(each.modelopt, each.transformers_major) for each in asked]
    assert lines == [("0.37", 4), ("0.47", 5)]
    old, new = params(one), params(other)
    assert (old.recipe.preset, old.kv_cache.preset) == ("TENSORRT_LLM_W8A16", "INT8_KV_CFG")
    assert (new.recipe.preset, new.kv_cache.quant_algo) == ("FP8_DEFAULT_CFG", "FP8")


def test_parallelism_counts_only_where_the_layout_divides_the_weights() -> None:
    assert params(torch("fp8", tp=1)) == params(torch("fp8", tp=2))
    assert params(plan("fp8", tp=1)) != params(plan("fp8", tp=2))
    export = params(plan("fp8", tp=2)).export
    assert (export.format, export.tensor_parallel, export.pipeline_parallel) == (
        "tensorrt-llm",
        2,
        1,
    )


@pytest.mark.parametrize(
    ("kind", "architecture", "family"),
    [
        ("trt-plan", "LlamaForCausalLM", "llama"),
        ("trt-plan", "Qwen3ForCausalLM", "qwen"),
        ("trt-plan", "MambaForCausalLM", None),
        ("trtllm-torch", "Qwen3ForCausalLM", None),
    ],
)
def test_of_the_architectures_the_request_holds_the_checkpoints_row_alone(
    kind: str, architecture: str, family: str | None
) -> None:
    assert params(Case(kind, architecture, "fp8")).export.decoder_type == family


def test_without_a_checkpoint_its_family_is_not_known() -> None:
    asked = request_params(plan("fp8").variant(), None, Path())
    assert asked.export.decoder_type is None


@pytest.mark.parametrize("kind", sorted(load_kinds()))
def test_a_kind_for_the_other_layout_names_every_architectures_family(kind: str) -> None:
    facts = load_kinds()[kind]
    needed = set(facts.architecture_names) if facts.export_format == "tensorrt-llm" else set()
    assert needed <= {row.name for row in facts.architectures if row.decoder_type}


def test_a_recipe_that_needs_a_gpu_says_so() -> None:
    assert formats(plan("nvfp4"))["nvfp4"].devices == ("cuda",)
    assert formats(torch("nvfp4"))["nvfp4"].devices == ("cpu", "cuda")
    search = RecipeSearch(effective_bits=6, candidates=("nvfp4", "fp8"))
    found = formats(torch("auto", search=search))
    assert {name: list(row.devices) for name, row in found.items()} == {
        "auto": ["cpu", "cuda"],
        "nvfp4": ["cuda"],
        "fp8": ["cpu", "cuda"],
        "none": ["cpu", "cuda"],
    }


@pytest.fixture
def new_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A recipe that the two tables get one row each for."""

    def more_recipes(content: Any) -> None:
        preset = {"modelopt": "0.47", "name": "MADE_UP_CFG", "devices": ["cuda"], "source": MADE_UP}
        like = named(content["recipes"], "fp8")
        content["recipes"].append(like | {"name": "made_up", "quant_algo": "MADE_UP", "presets": [preset]})

    def more_kernels(content: Any) -> None:
        row = {"name": "made_up", "weight_input_multiple": 32, "source": MADE_UP}
        content["recipes"].append(row | {"compute_capabilities": ["10.0"]})

    shutil.copytree(KINDS_DIR, tmp_path / "kinds")
    shutil.copy(RECIPES_FILE, tmp_path)
    changed(RECIPES_FILE.name, more_recipes)(tmp_path)
    changed("kinds/trtllm-torch.yaml", more_kernels)(tmp_path)
    monkeypatch.setattr(recipes, "RECIPES_FILE", tmp_path / RECIPES_FILE.name)
    monkeypatch.setattr(kind_facts, "KINDS_DIR", tmp_path / "kinds")
    _forget_tables()
    yield "made_up"
    _forget_tables()


MADE_UP = "made up for a test"


def _forget_tables() -> None:
    recipes._table.cache_clear()
    load_recipes.cache_clear()
    load_kinds.cache_clear()


def test_two_rows_are_all_that_a_recipe_needs(new_recipe: str) -> None:
    case = torch(new_recipe)
    asked = params(case).recipe
    assert (asked.name, asked.preset) == (new_recipe, "MADE_UP_CFG")
    needs = formats(case)[new_recipe]
    assert (needs.devices, needs.weight_input_multiple) == (("cuda",), 32)


def test_dimensions_must_suit_recipe_and_kind() -> None:
    aot = Case("aot-inductor", "LlamaForCausalLM", "int8_weight_only")
    assert formats(aot)["int8_weight_only"].weight_input_multiple == 16
    assert formats(plan("int4_awq"))["int4_awq"].weight_input_multiple == 128


def test_only_where_nothing_changes_is_the_stage_left_out() -> None:
    variant = torch("none").variant()
    assert quantize.built_as_fetched(variant)
    assert not quantize.built_as_fetched(plan("none").variant())
    layout = quantize.quantize_job("s", plan("none").variant(), Inputs({"checkpoint": "c"}, {}), Path())
    assert (as_json(layout.params)["recipe"]["preset"], layout.toolchain) == (None, "modelopt-0.37-cpu")


def test_a_recipe_files_text_and_digest_are_part_of_the_request(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(TEXT)
    case = torch("modelopt_file", file=RecipeFile(path="recipe.yaml", sha256=SHA256))
    inputs = Inputs({"checkpoint": "c", "calibration": "t"}, {})
    work = quantize.quantize_job("s", case.variant(), inputs, tmp_path)
    assert as_json(work.params)["file"] == {"path": "recipe.yaml", "sha256": SHA256, "text": TEXT}
    assert str(tmp_path) not in str(work.call("toolchain").document)


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (None, "cannot be read", "quantization.file.path"),
        (b"\xff\xfe", "cannot be read", "quantization.file.path"),
        (b"other\n", f"the spec names {SHA256}", "quantization.file.sha256"),
    ],
)
def test_a_recipe_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, content: bytes | None, what: str, fix: str
) -> None:
    if content is not None:
        (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(RecipeFileInvalid, match=what) as refusal:
        read_recipe_file(RecipeFile(path="recipe.yaml", sha256=SHA256), tmp_path)
    assert fix in refusal.value.fix
    assert refusal.value.exit_code == 2
