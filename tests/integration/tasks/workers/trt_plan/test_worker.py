"""The worker of trt-plan as a process, over a stand-in of trtllm-build that is as strict as the real one."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.checkpoints import trtllm_checkpoints
from support.specs.trt_plan import variant
from support.standin.trtllm.toolchain import Gpu, install, report
from support.toolchains.workers import staged

from artifacts.hosts import BuiltOn, EngineManifest
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import RecipeSupport, load_kinds, load_kv_caches, load_recipes, load_targets
from tasks.errors import EngineWrong, WorkerFailed, WorkerOutOfMemory, WorkerRefused, WorkerRefusedInput
from tasks.kinds.trt_plan.kind import TRT_PLAN
from tasks.toolchains import JobOutcome, Toolchain, run_job
from tasks.workers.common.requests import Request

H100 = load_targets()["h100-sxm"]
Build = Callable[..., JobOutcome]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    return install(tmp_path_factory.mktemp("toolchain") / "tensorrt-llm-1.2", Gpu.of(H100))


@pytest.fixture
def toolchain(stand_in: Toolchain) -> Iterator[Toolchain]:
    """The stand-in on an H100; a test may let it report another GPU."""
    report(stand_in.root, Gpu.of(H100))
    return stand_in


@pytest.fixture
def build(toolchain: Toolchain, tmp_path: Path) -> Build:
    """Run the worker over a checkpoint for a variant; the tree is `tmp_path / "tree"`."""

    def run(
        asked: ResolvedVariant, checkpoint: Path, *, fails: str = "", declared: bool = True
    ) -> JobOutcome:
        job = TRT_PLAN.build_job(asked)
        params = replace(job.params, toolchains={"build": toolchain.identity}, stand_in=declared)
        output = tmp_path / "tree"
        output.mkdir()
        request = Request(params, job.admission, {"checkpoint": checkpoint}, output)
        reported = toolchain.model_copy(update={"env": {"STAND_IN_BUILD": fails}})
        return run_job(
            reported,
            staged(tmp_path / "worker", job.worker),
            request,
            log=tmp_path / "log",
            on_line=lambda _line: None,
            time_limit_s=60,
        )

    return run


def checkpoint_for(asked: ResolvedVariant, folder: Path, architecture: str = "LlamaForCausalLM") -> Path:
    document = trtllm_checkpoints.config(
        architecture,
        load_recipes()[asked.quantization.recipe].quant_algo,
        load_kv_caches()[asked.quantization.kv_cache].quant_algo,
        asked.tensor_parallel,
        asked.pipeline_parallel,
    )
    return trtllm_checkpoints.write(folder / "checkpoint", document)


@pytest.fixture
def fp8(tmp_path: Path) -> tuple[ResolvedVariant, Path]:
    asked = variant(tensor_parallel=2)
    return asked, checkpoint_for(asked, tmp_path)


def test_a_tree_holds_plans_tokenizer_and_what_a_host_must_have(
    build: Build, fp8: tuple[ResolvedVariant, Path], toolchain: Toolchain, tmp_path: Path
) -> None:
    asked, checkpoint = fp8
    outcome = build(asked, checkpoint)
    tree = tmp_path / "tree"
    names = {path.name for path in tree.iterdir()}
    plans = {"rank0.engine", "rank1.engine"}
    own = {"config.json", "engine.json", "llm_args.yaml", "tokenizer.json", "tokenizer_config.json"}
    assert names == plans | own
    given = yaml.safe_load((tree / "llm_args.yaml").read_text())
    assert given == TRT_PLAN.build_job(asked).params.llm_args
    manifest = EngineManifest.model_validate_json((tree / "engine.json").read_bytes())
    assert manifest.stand_in
    assert manifest.shape == asked.shape.model_dump()
    assert (manifest.requires.compute_capability, manifest.requires.gpu_count) == ("9.0", 2)
    assert manifest.requires.gpu_names == H100.gpu.product_names
    gpu = Gpu.of(H100)
    assert manifest.built_on == BuiltOn(
        gpu_name=gpu.name, compute_capability="9.0", driver=gpu.driver, cuda="13.0"
    )
    assert (
        manifest.tools["tensorrt_llm"]
        == "1.2.1+stand-in"
        == json.loads((tree / "config.json").read_text())["version"]
    )
    assert manifest.toolchains == {"build": toolchain.identity}
    assert manifest.serve == TRT_PLAN.serve_command(asked)
    assert outcome.metrics["unreported_features"] == []
    assert outcome.tools["tensorrt"] == "10.14.1+stand-in"


def test_equal_inputs_give_equal_trees(
    build: Build, fp8: tuple[ResolvedVariant, Path], tmp_path: Path
) -> None:
    def listing() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "tree").iterdir()}

    build(*fp8)
    first = listing()
    (tmp_path / "tree").rename(tmp_path / "before")
    build(*fp8)
    assert listing() == first


@pytest.mark.parametrize("recipe", load_kinds()["trt-plan"].recipes, ids=lambda row: row.name)
def test_every_recipe_is_built_on_the_newest_gpu_that_takes_it(
    toolchain: Toolchain, tmp_path: Path, recipe: RecipeSupport
) -> None:
    newest = recipe.compute_capabilities[-1]
    target = next(t for t in load_targets().values() if t.compute_capability == newest)
    asked = variant(target.name, recipe.name, "none", tensor_parallel=2)
    report(toolchain.root, Gpu.of(target))
    ended = run_tool(toolchain, asked, checkpoint_for(asked, tmp_path), tmp_path)
    assert ended.returncode == 0, ended.stdout


def test_a_plan_of_several_formats_is_built_from_what_each_layer_has(build: Build, tmp_path: Path) -> None:
    asked = variant(recipe="auto", tensor_parallel=2)
    build(asked, checkpoint_for(asked, tmp_path))
    built = json.loads((tmp_path / "tree" / "quant_cfg.json").read_text())
    assert {layer["quant_algo"] for layer in built["quantized_layers"].values()} == {
        "FP8",
        "W4A16_AWQ",
        "W4A8_AWQ",
    }


def run_tool(
    toolchain: Toolchain, asked: ResolvedVariant, checkpoint: Path, folder: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """Run the stand-in trtllm-build itself, as the worker would."""
    (command,) = TRT_PLAN.build_job(asked).commands
    places = {"bin": toolchain.bin_dir, "checkpoint": checkpoint, "output": folder / "engine"}
    argv = [part.format(**places) for part in command.argv]
    return subprocess.run(
        [*argv, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": f"{toolchain.bin_dir}:/usr/bin:/bin"},
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--gemm_plugins", "auto"], "unrecognized arguments"),
        (["--gemm_plugin", "int4"], "invalid choice: 'int4'"),
        (["--max_batch_size", "many"], "invalid int value"),
        (["--multiple_profiles"], "expected one argument"),
        (["--opt_num_tokens", "64"], "multiple_profiles is enabled, while opt_num_tokens is set"),
        (["--streamingllm", "enable"], "StreamingLLM is no longer supported"),
        (["--pp_reduce_scatter", "enable"], "only supported in the mixtral model"),
        (["--gather_context_logits", "--max_draft_len", "2"], "not support with draft len"),
        (["--gemm_swiglu_plugin", "fp8", "--use_fused_mlp", "disable"], "requires --use_fused_mlp"),
    ],
)
def test_the_stand_in_refuses_flags_as_the_real_one(
    toolchain: Toolchain, fp8: tuple[ResolvedVariant, Path], tmp_path: Path, more: list[str], said: str
) -> None:
    ended = run_tool(toolchain, *fp8, tmp_path, *more)
    assert ended.returncode != 0
    assert said in ended.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "MambaLMHeadModel"}, "Unsupported model architecture"),
        ({"architecture": "Qwen3ForCausalLM"}, "qwen_type"),
        ({"architecture": "Qwen2ForCausalLM", "qwen_type": "qwen2"}, "seq_length"),
        (
            {"architecture": "Qwen3ForCausalLM", "qwen_type": "qwen3", "seq_length": 8192},
            "use_logn_attn",
        ),
        ({"intermediate_size": 1024}, "not the same shape"),
        ({"num_hidden_layers": 3}, "Required but not provided tensors"),
        ({"num_hidden_layers": 1}, "Provided but not required tensors"),
        ({"dtype": "float16"}, "not the same shape"),
        (
            {"quantization": {"quant_algo": "W8A8_SQ_PER_CHANNEL", "kv_cache_quant_algo": "FP8"}},
            "not provided",
        ),
        ({"quantization": {"quant_algo": "FP9", "kv_cache_quant_algo": "FP8"}}, "FP9"),
        ({"mapping": {"world_size": 3, "tp_size": 2, "pp_size": 1}}, "world_size must equal"),
    ],
)
def test_the_stand_in_refuses_checkpoints_as_the_real_one(
    toolchain: Toolchain,
    fp8: tuple[ResolvedVariant, Path],
    tmp_path: Path,
    changes: dict[str, Any],
    said: str,
) -> None:
    asked, checkpoint = fp8
    config = checkpoint / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    ended = run_tool(toolchain, asked, checkpoint, tmp_path)
    assert ended.returncode != 0
    assert said in ended.stdout


@pytest.mark.parametrize(
    ("recipe", "kv_cache", "said"),
    [
        ("int4_awq", "none", "INT8/INT4 quantization is not supported on SM>=100"),
        ("int8_smoothquant", "none", "SmoothQuant is not supported on SM>=100"),
        ("none", "int8", "INT8/INT4 quantization is not supported on SM>=100"),
    ],
)
def test_integers_are_refused_on_blackwell_as_by_the_real_one(
    toolchain: Toolchain, tmp_path: Path, recipe: str, kv_cache: str, said: str
) -> None:
    asked = variant("b200", recipe, kv_cache)
    report(toolchain.root, Gpu.of(asked.target))
    ended = run_tool(toolchain, asked, checkpoint_for(asked, tmp_path), tmp_path)
    assert ended.returncode != 0
    assert said in ended.stdout


def test_another_gpu_is_refused_before_anything_is_built(
    build: Build, toolchain: Toolchain, fp8: tuple[ResolvedVariant, Path], tmp_path: Path
) -> None:
    report(toolchain.root, Gpu.of(load_targets()["l40s"]))
    with pytest.raises(WorkerRefused, match=r"NVIDIA L40S \(compute capability 8.9\)") as caught:
        build(*fp8)
    assert "H100" in str(caught.value)
    assert "work pool" in caught.value.fix
    assert not any((tmp_path / "tree").iterdir())


def test_a_stand_in_that_nobody_declared_is_refused(build: Build, fp8: tuple[ResolvedVariant, Path]) -> None:
    with pytest.raises(WorkerRefused, match=r"1\.2\.1\+stand-in"):
        build(*fp8, declared=False)


def test_a_checkpoint_that_was_cut_off_is_refused(build: Build, fp8: tuple[ResolvedVariant, Path]) -> None:
    asked, checkpoint = fp8
    path = checkpoint / "rank1.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WorkerRefusedInput, match=r"rank1.safetensors has .* it is truncated"):
        build(asked, checkpoint)


@pytest.mark.parametrize(
    ("fails", "error", "said"),
    [
        ("gpu-memory", WorkerOutOfMemory, "the GPU's memory ran out"),
        ("host-memory", WorkerOutOfMemory, "killed .SIGKILL., most likely by the kernel"),
        ("abort", WorkerFailed, "ended with exit code 1"),
        ("empty-plan", EngineWrong, "plans are missing or empty: rank0.engine"),
        ("missing-rank", EngineWrong, "plans are missing or empty: rank0.engine"),
        ("other-version", WorkerRefused, "TensorRT-LLM 1.0.0; engines of this kind are those of 1.2"),
    ],
)
def test_a_tool_that_fails_is_reported_by_what_went_wrong(
    build: Build, fp8: tuple[ResolvedVariant, Path], fails: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        build(*fp8, fails=fails)
    assert caught.value.fix
    if fails == "abort":
        assert "killed by SIGABRT (Aborted): [TRT] [E] Error Code 10: Internal Error" in str(caught.value)


def test_an_option_that_the_tool_takes_back_for_a_model_is_reported(build: Build, tmp_path: Path) -> None:
    asked = variant(tensor_parallel=2, reduce_fusion=True)
    with pytest.raises(EngineWrong, match="reduce_fusion on became off") as caught:
        build(asked, checkpoint_for(asked, tmp_path, "MistralForCausalLM"))
    assert "remove the option" in caught.value.fix
