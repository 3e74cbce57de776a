"""Whether a kind takes a ready-made checkpoint: by its own files, and as the model of the spec."""

from typing import Any

import pytest
from support.specs.gpu import CONFIG, FILES, gpu_variant

from engine_specs.preflight import Examination, ReadyMade, SmallFiles, examine
from engine_specs.spec import QuantizedSource, ResolvedVariant, Spec, Task

COMMIT = "c" * 40
TOKENIZER = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True}
WITHOUT_BOS = TOKENIZER | {"add_bos_token": False}
BYTES = 9_100_000_000
INT4 = {"num_bits": 4, "type": "int", "group_size": 128}


def variant(spec: Spec, kind: str = "vllm", target: str = "h100-sxm") -> ResolvedVariant:
    plain = gpu_variant(spec, kind, target, recipe="ready_made")
    source = QuantizedSource(repo="acme/llama-fp8", revision=COMMIT)
    return plain.model_copy(update={"quantization": plain.quantization.model_copy(update={"source": source})})


def modelopt(algo: str | None, cache: str | None = None, **layers: str) -> dict[str, Any]:
    listed = {name: {"quant_algo": each} for name, each in layers.items()}
    said = {"quant_algo": algo, "kv_cache_quant_algo": cache, "quantized_layers": listed}
    return {"hf_quant_config.json": {"quantization": said}}


def compressed(**group: Any) -> dict[str, Any]:
    described = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    return {"quantization_config": described}


def source(small: dict[str, Any], **changes: Any) -> ReadyMade:
    known = {
        "repo": "acme/llama-fp8",
        "commit": COMMIT,
        "config": CONFIG | changes.pop("config", {}),
        "file_bytes": FILES | {"model.safetensors": changes.pop("size", BYTES)},
        "small": SmallFiles(
            json_files={"tokenizer_config.json": TOKENIZER} | small,
            tensor_types=changes.pop("tensors", {"a.weight": "F8_E4M3", "a.weight_scale": "F32"}),
        ),
        "tokenizer": "1" * 64,
        "base_tokenizer": "1" * 64,
        "base_small": SmallFiles(json_files={"tokenizer_config.json": TOKENIZER}),
    }
    return ReadyMade.model_validate(known | changes)


def judged(spec: Spec, asked: ResolvedVariant, made: ReadyMade) -> Examination:
    return examine(spec, asked, CONFIG, FILES, small=made.base_small, ready_made=made)


def with_template(words: str, file: str = "") -> SmallFiles:
    """Small files with a chat template, in tokenizer_config.json or in a file of its own."""
    return SmallFiles(
        json_files={"tokenizer_config.json": TOKENIZER | {"chat_template": words}},
        template=file,
    )


def test_another_chat_template_is_said_and_refused_if_tasks_are_asked_through_it(spec: Spec) -> None:
    asked, base = variant(spec), with_template("{{ messages }}")
    for small, differs in (
        (with_template("{{ messages }}\n"), False),
        (with_template("{{ others }}"), True),
        (with_template("{{ others }}", file="{{ messages }}"), False),
        (with_template("{{ messages }}", file="{{ others }}"), True),
    ):
        files = small.json_files | modelopt("FP8")
        made = source({}).model_copy(
            update={"base_small": base, "small": small.model_copy(update={"json_files": files})}
        )
        found = judged(spec, asked, made)
        assert found.problems == ()
        assert any("another chat template" in one for one in found.warnings) == differs
        chats = judged(with_chats(spec), asked, made)
        assert any("another chat template" in one.found for one in chats.problems) == differs


def with_chats(spec: Spec) -> Spec:
    """The spec, with a task that is asked through the chat template."""
    task = Task(
        name="sums", form="exact-match", path="a.jsonl", samples=9, prompt="{q}", max_loss=0.1,
        answer_field="a", max_tokens=4, chat=True,
    )  # fmt: skip
    validation = spec.validation.model_copy(update={"tasks": (task,)})
    return spec.model_copy(update={"validation": validation})


def problems(spec: Spec, asked: ResolvedVariant, made: ReadyMade) -> list[str]:
    found = judged(spec, asked, made).problems
    assert {one.field for one in found} <= {f"variants.{asked.name}.quantization.source"}
    return [str(one) for one in found]


@pytest.mark.parametrize(
    ("kind", "target", "small", "config", "words"),
    [
        ("vllm", "h100-sxm", modelopt("FP8"), {}, None),
        ("vllm", "h100-sxm", modelopt("FP8", "FP8"), {}, None),
        ("vllm", "b200", modelopt("NVFP4"), {}, None),
        (
            "vllm",
            "h100-sxm",
            modelopt("NVFP4"),
            {},
            "NVFP4 in acme/llama-fp8@cccccccccccc, for vllm on",
        ),
        ("vllm", "a100-80gb", modelopt("FP8"), {}, "compute capability 8.0"),
        ("vllm", "h100-sxm", modelopt("W4A16_AWQ"), {}, "modelopt W4A16_AWQ"),
        ("vllm", "b200", modelopt("NVFP4", "NVFP4"), {}, None),
        ("vllm", "rtx-5090", modelopt("NVFP4", "NVFP4"), {}, "misreads heads of 64"),
        ("vllm", "rtx-5090", modelopt("W4A16_NVFP4"), {}, None),
        ("vllm", "b200", modelopt("MXFP8"), {}, None),
        ("vllm", "h200", modelopt("MXFP8"), {}, "modelopt MXFP8"),
        ("trtllm-torch", "b200", modelopt("FP8", "NVFP4"), {}, None),
        (
            "trtllm-torch",
            "b200",
            modelopt("NVFP4", "NVFP4"),
            {},
            "a KV cache in NVFP4 next to weights in NVFP4",
        ),
        ("trtllm-torch", "h200", modelopt("FP8", "NVFP4"), {}, "documented for 10.0 and 10.3 only"),
        ("trtllm-torch", "rtx-5090", modelopt("W4A16_NVFP4"), {}, None),
        ("vllm", "h100-sxm", {}, compressed(weights=INT4), None),
        (
            "vllm",
            "h100-sxm",
            {},
            {"quantization_config": {"quant_method": "gptq"}},
            "gptq of an unknown format",
        ),
        ("vllm", "h100-sxm", {}, {}, "whose files do not say that it is quantized"),
        ("vllm", "h100-sxm", modelopt(None), {}, "modelopt of an unknown format"),
        ("vllm", "h100-sxm", modelopt("MIXED_PRECISION", a="FP8", b="NVFP4"), {}, "modelopt FP8 and NVFP4"),
        ("vllm", "b200", modelopt("MIXED_PRECISION", a="FP8", b="NVFP4"), {}, None),
        ("trtllm-torch", "h100-sxm", modelopt("W4A16_AWQ"), {}, None),
        ("trtllm-torch", "b200", modelopt("W4A16_AWQ"), {}, "or a target for this one: "),
        ("trtllm-torch", "b200", modelopt("NVFP4", "FP8"), {}, None),
        ("trtllm-torch", "h100-sxm", {}, compressed(weights=INT4), "compressed-tensors W4A16"),
    ],
)
def test_a_format_is_taken_or_refused_by_the_files_of_the_checkpoint(
    spec: Spec, kind: str, target: str, small: dict[str, Any], config: dict[str, Any], words: str | None
) -> None:
    found = problems(spec, variant(spec, kind, target), source(small, config=config))
    assert len(found) == (words is not None), found
    assert words is None or words in found[0]


def test_a_kv_cache_is_for_the_architectures_that_it_was_established_for(spec: Spec) -> None:
    config = {"architectures": ["Qwen2ForCausalLM"]}
    made = source(modelopt("FP8", "NVFP4"), config=config)
    first, _ = problems(spec, variant(spec, "trtllm-torch", "b200"), made)
    assert "found a KV cache in NVFP4 for Qwen2ForCausalLM in acme/llama-fp8" in first
    assert "one for LlamaForCausalLM, Qwen3ForCausalLM; " in first


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"config": {"vocab_size": 128_000}},
            "another model in acme/llama-fp8@cccccccccccc (vocab_size",
        ),
        ({"config": {"num_hidden_layers": 31}}, "layers 31, not 32"),
        ({"config": {"architectures": ["Qwen2ForCausalLM"]}}, "architecture Qwen2ForCausalLM, not Llama"),
        ({"config": {"rope_theta": 12.5}}, "other rotary positions"),
        ({"config": {"hidden_size": None}}, "without hidden_size"),
        ({"tokenizer": "2" * 64}, "another tokenizer.json"),
        ({"size": 16_000}, "16,000 B of weights"),
        ({"size": 20_000_000_000}, "20,000,000,000 B of weights"),
        ({"tensors": {"a.weight": "BF16"}}, "whose tensors are not quantized"),
        (
            {"base_small": SmallFiles(json_files={"tokenizer_config.json": {"add_bos_token": False}})},
            "add_bos",
        ),
    ],
)
def test_it_is_the_model_of_the_spec_and_all_of_it(spec: Spec, changes: dict[str, Any], words: str) -> None:
    found = problems(spec, variant(spec), source(modelopt("FP8"), **changes))
    assert len(found) == 1, found
    assert words in found[0]


def test_rotary_positions_are_compared_in_either_spelling(spec: Spec) -> None:
    newer = {
        "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "transformers_version": "5.1.0",
    }
    assert problems(spec, variant(spec), source(modelopt("FP8"), config=newer)) == []


def test_the_real_bytes_are_counted_and_so_is_its_cache(spec: Spec) -> None:
    plain = judged(spec, variant(spec), source(modelopt("FP8")))
    assert plain.memory is not None
    lines = {line.what: line.bytes for line in plain.memory.lines}
    assert (
        sum(lines[name] for name in lines if "weights" in name or "norms" in name or "emb" in name) == BYTES
    )
    cached = judged(spec, variant(spec), source(modelopt("FP8", "FP8")))
    assert cached.memory is not None
    halved = {line.what: line.bytes for line in cached.memory.lines}
    assert 2 * halved["KV cache (fp8)"] == lines["KV cache (bfloat16)"]
    assert plain.disk is not None
    disk = {line.what: line.bytes for line in plain.disk.lines}
    assert (disk["ready-made checkpoint"], disk["engine"]) == (2 * BYTES, BYTES)
    assert "quantized checkpoint" not in disk


def test_its_weights_are_divided_between_devices(spec: Spec) -> None:
    asked = variant(spec)
    two = asked.model_copy(update={"tensor_parallel": 2})
    whole, half = (linear(judged(spec, one, source(modelopt("FP8")))) for one in (asked, two))
    assert whole == pytest.approx(2 * half, abs=2)


def linear(examined: Examination) -> int:
    assert examined.memory is not None
    (line,) = (one for one in examined.memory.lines if one.what == "linear weights, ready-made")
    return line.bytes
