"""Every file of data that comes with the packages, with changes to it and what each may change.

An edit takes the directory that holds a copy of the packages. `unrelated` edits touch what no shipped spec
uses, or what only decides whether something may be built: no stage may notice. A `related` edit touches what
some of them use: exactly the stages that its patterns name have to notice.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine_specs.preflight import vendored_checkpoint
from engine_specs.reading import KINDS_DIR
from engine_specs.spec import Spec, list_specs, load_spec, resolve_variants
from engine_specs.tables import load_kinds
from support.plans.identity.edits import Edit, another, appended, changed, copied, named
from support.plans.identity.shipped import built_with, of_kind, quantized_otherwise, using

SPECS_DIR = KINDS_DIR.parent
SOURCE = "a row that a test has added"


@dataclass(frozen=True)
class Related:
    """A change that some stages have to notice.

    Attributes:
        edit: makes it.
        stages: patterns of SPEC/VARIANT/STAGE, which cover all that notices it and nothing else.
    """

    edit: Edit
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One file, or several that hold rows of one table.

    Attributes:
        files: pattern of their paths.
        unrelated: no stage notices these, applied together.
        related: by what it is; empty where no stage uses anything of it, whose reason is `unused`.
        unused: why no stage's identity holds anything of it.
    """

    files: str
    unrelated: tuple[Edit, ...]
    related: Mapping[str, Related] = field(default_factory=dict)
    unused: str = ""


TARGETS = "engine_specs/data/targets.yaml"
RECIPES = "engine_specs/data/recipes.yaml"
CONFIG_DEFAULTS = "engine_specs/data/config_defaults.yaml"
MODEL_FILES = "engine_specs/data/model_files.yaml"
LLM_ARGS = ("engine_specs/data/llm_args/trt-plan.yaml", "engine_specs/data/llm_args/trtllm-torch.yaml")
MEMORY = "engine_specs/data/memory.yaml"
REFERENCES = "engine_specs/data/references.yaml"
QWEN = "engine_specs/data/checkpoints/Qwen--Qwen3-8B.yaml"
DEMO = "engine_specs/demo.yaml"
TOOLCHAINS = "tasks/toolchains/toolchains.yaml"
MESSAGES = "tasks/toolchains/run/messages.yaml"
LOCKS = "tasks/toolchains/locks"
REPORT = "tasks/judging/report/templates/report.html.j2"


def kind_file(name: str) -> str:
    """The file of a kind."""
    return f"engine_specs/kinds/{name}.yaml"


def _more_targets(content: Any) -> None:
    another(content["targets"], "cpu-x86-64-v3", name="cpu-other")
    another(content["targets"], "h100-sxm", name="other-gpu")


def _another_gpu_name(content: Any) -> None:
    named(content["targets"], "h100-sxm")["gpu"]["product_names"].append("NVIDIA H100 Other")


def _more_recipes(content: Any) -> None:
    for rows, name in ((content["recipes"], "int3_other"), (content["kv_caches"], "int2_other")):
        another(rows, "fp8", name=name)
        preset = {"modelopt": "0.99", "name": "OTHER_CFG", "devices": ["cuda"], "source": SOURCE}
        named(rows, "fp8")["presets"].append(preset)
        for one in named(rows, "nvfp4")["presets"]:
            one["devices"] = ["cuda"]
    named(content["recipes"], "fp8")["weight_input_multiple"] = 2


def _another_preset(content: Any) -> None:
    for one in named(content["recipes"], "fp8")["presets"]:
        one["name"] = "OTHER_CFG"


def _more_of_a_kind(content: Any) -> None:
    architecture = {"name": "OtherForCausalLM", "decoder_type": "other", "source": SOURCE}
    content["architectures"].insert(0, architecture)
    for rows, names in ((content["recipes"], RECIPE_NAMES), (content["kv_caches"], CACHE_NAMES)):
        there = {row["name"] for row in rows}
        rows += [{**rows[0], "name": name} for name in names if name not in there]
    content["max_pipeline_parallel"] += 1
    content["transformers_major"] += 1


def _more_of_vllm(content: Any) -> None:
    """As of any kind, but for recipes that shipped variants use: the reference loads what this kind takes."""
    used = {one.quantization.recipe for path in list_specs() for one in resolve_variants(load_spec(path))}
    names = {*RECIPE_NAMES} - used - {row["name"] for row in content["recipes"]}
    assert names
    content["recipes"] += [{**content["recipes"][0], "name": name} for name in sorted(names)]
    content["architectures"].insert(0, {"name": "OtherForCausalLM", "source": SOURCE})
    content["max_pipeline_parallel"] += 1
    content["transformers_major"] += 1


def _another_loaded_recipe(content: Any) -> None:
    content["recipes"].append({**content["recipes"][0], "name": "int4_awq"})


RECIPE_NAMES = ("w4a8_awq", "nvfp4", "nvfp4_mlp_only", "w4a16_nvfp4", "int8_weight_only")
CACHE_NAMES = ("fp8", "nvfp4")


def _kind(name: str, related: Mapping[str, Related], unused: str = "") -> Table:
    file = kind_file(name)
    return Table(
        files=file,
        unused=unused,
        unrelated=(
            changed(file, _more_of_a_kind),
            copied(file, kind_file(f"other-{name}"), name=f"other-{name}"),
        ),
        related=related,
    )


def _option(name: str, default: object) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        named(content["options"], name)["default"] = default

    return change


def _new_option(content: Any) -> None:
    another(content["options"], "tokens_per_block", name="other_option")


def _family(content: Any) -> None:
    named(content["architectures"], "LlamaForCausalLM")["decoder_type"] = "other"


def _another_builder(content: Any) -> None:
    content["toolchains"]["build"]["cpu"] = "aot-serve-cpu"


def _more_toolchains(content: Any) -> None:
    content["other"] = content["aot-cpu"]
    for row in content.values():
        row["purpose"], row["approximate_bytes"], row["smoke"] = SOURCE, 1, "import sys"


def _more_environment(content: Any) -> None:
    content["vllm-cuda"]["env"]["VLLM_OTHER"] = "1"


def _more_variants(content: Any) -> None:
    content["variants"].append({**content["variants"][0], "name": "other"})


def _larger_batch(content: Any) -> None:
    content["defaults"]["shape"]["max_batch_size"] += 1


def _more_messages(content: Any) -> None:
    content["messages"].insert(0, {**content["messages"][0], "name": "other"})


def _other_defaults(content: Any) -> None:
    content["model_types"].append({**content["model_types"][0], "model_type": "other"})
    content["model_types"][0]["max_position_embeddings"] = 1


def _more_reads(content: Any) -> None:
    content["every_model"]["stated"].append("other")
    content["model_files"].append({**content["model_files"][0], "architectures": ["OtherForCausalLM"]})


def _more_arguments(content: Any) -> None:
    root = content["models"][content["root"]]
    root["other"] = {**root["dtype"]}
    root["max_num_tokens"]["minimum"] = 2


def _more_memory(content: Any) -> None:
    content["reserves"].append({"what": "other", "bytes": 1, "source": SOURCE})
    content["usable_share"] = 0.5


def _more_references(content: Any) -> None:
    row = content["recommended"][0]
    content["recommended"].append({**row, "model": "Other/Other", "settings": {"block_size": 32}})
    content["commit"] = "0" * 40
    for rows in (content["recommended"], content["quantizes"]):
        for one in rows:
            one["source"] = SOURCE


def _another_recommendation(content: Any) -> None:
    (row,) = [
        row
        for row in content["recommended"]
        if row["model"] == LLAMA_70B and "9.0" in row["compute_capabilities"]
    ]
    row["settings"]["max_num_batched_tokens"] = 4096


def _another_own_quantization(content: Any) -> None:
    content["quantizes"][0]["settings"]["quantization"] = "fp8_per_channel"


LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct"


def _model_of(spec: Spec) -> str:
    checkpoint = vendored_checkpoint(spec.checkpoint.repo)
    assert checkpoint is not None
    return str(checkpoint.config["architectures"][0])


def _kinds_of_no_spec() -> tuple[Table, ...]:
    """Kinds that no shipped spec builds with yet: nothing that is said of them may count."""
    specs = "".join(path.read_text(encoding="utf-8") for path in SPECS_DIR.glob("*.yaml"))
    names = sorted({path.stem for path in KINDS_DIR.glob("*.yaml")} - {"vllm"})
    unused = [name for name in names if not re.search(rf"kind: {re.escape(name)}\b(?!-)", specs)]
    return tuple(_kind(name, {}, "no shipped spec builds with this kind yet") for name in unused)


TABLES = (
    Table(
        files=TARGETS,
        unrelated=(changed(TARGETS, _more_targets),),
        related={
            "another name of a GPU": Related(
                changed(TARGETS, _another_gpu_name),
                using(lambda _, one: one.target.name == "h100-sxm", "baseline", "build", "measure"),
            )
        },
    ),
    Table(
        files=RECIPES,
        unrelated=(changed(RECIPES, _more_recipes),),
        related={
            "another constant of ModelOpt": Related(
                changed(RECIPES, _another_preset),
                using(lambda _, one: one.quantization.recipe == "fp8", "quantize"),
            )
        },
    ),
    Table(
        files=CONFIG_DEFAULTS,
        unrelated=(changed(CONFIG_DEFAULTS, _other_defaults),),
        unused="pre-flight alone needs sizes that config.json leaves out",
    ),
    Table(
        files="engine_specs/data/llm_args/*.yaml",
        unrelated=tuple(changed(file, _more_arguments) for file in LLM_ARGS),
        unused="it only decides what a spec may pass; no shipped spec passes anything",
    ),
    Table(
        files=MODEL_FILES,
        unrelated=(changed(MODEL_FILES, _more_reads),),
        unused="it only decides whether an export may be built",
    ),
    Table(
        files=MEMORY,
        unrelated=(changed(MEMORY, _more_memory),),
        unused="pre-flight alone estimates memory",
    ),
    Table(
        files=REFERENCES,
        unrelated=(changed(REFERENCES, _more_references),),
        related={
            "another recommendation": Related(
                changed(REFERENCES, _another_recommendation),
                using(
                    lambda spec, one: (
                        spec.checkpoint.repo == LLAMA_70B and one.target.compute_capability == "9.0"
                    ),
                    "measure",
                    "verdict",
                ),
            ),
            "another quantization by vLLM itself": Related(
                changed(REFERENCES, _another_own_quantization),
                using(quantized_otherwise, "measure", "verdict"),
            ),
        },
    ),
    Table(
        files="engine_specs/data/checkpoints/*.yaml",
        unrelated=(
            copied(QWEN, "engine_specs/data/checkpoints/Other--Other.yaml", repo="Other/Other"),
            changed(QWEN, lambda content: content.update(tensor_bytes=1)),
        ),
        unused="a checkpoint's own files say what it is; the copies here are for planning",
    ),
    _kind(
        "aot-inductor",
        {
            "another toolchain": Related(
                changed(kind_file("aot-inductor"), _another_builder), built_with("aot-cpu")
            )
        },
    ),
    _kind(
        "trt-plan",
        {
            "another family": Related(
                changed(kind_file("trt-plan"), _family),
                using(
                    lambda spec, one: one.engine.kind == "trt-plan" and _model_of(spec) == "LlamaForCausalLM",
                    "quantize",
                ),
            ),
            "another default": Related(
                changed(kind_file("trt-plan"), _option("tokens_per_block", 64)),
                of_kind("trt-plan", "build", "verdict"),
            ),
            # What an option does is code: until some command has it, only the words about the variant differ.
            "another option": Related(
                changed(kind_file("trt-plan"), _new_option), of_kind("trt-plan", "verdict")
            ),
        },
    ),
    _kind(
        "trtllm-torch",
        {
            "another default": Related(
                changed(kind_file("trtllm-torch"), _option("stream_interval", 2)),
                of_kind("trtllm-torch", "build", "verdict"),
            )
        },
    ),
    Table(
        files=kind_file("vllm"),
        unrelated=(
            changed(kind_file("vllm"), _more_of_vllm),
            copied(kind_file("vllm"), kind_file("other-vllm"), name="other-vllm"),
        ),
        related={
            "another recipe that the reference loads": Related(
                changed(kind_file("vllm"), _another_loaded_recipe),
                using(
                    lambda _, one: (
                        one.quantization.recipe == "int4_awq"
                        and load_kinds()[one.engine.kind].export_format == "hf"
                    ),
                    "measure",
                    "verdict",
                ),
            )
        },
    ),
    *_kinds_of_no_spec(),
    Table(
        files="engine_specs/*.yaml",
        unrelated=(
            changed(DEMO, _more_variants),
            copied(DEMO, "engine_specs/other.yaml", name="other"),
        ),
        related={
            "another shape": Related(
                changed(DEMO, _larger_batch),
                ("demo/*/build", "demo/*/measure", "demo/*/verdict"),
            )
        },
    ),
    Table(
        files=TOOLCHAINS,
        unrelated=(changed(TOOLCHAINS, _more_toolchains),),
        related={
            "another environment": Related(
                changed(TOOLCHAINS, _more_environment),
                (
                    *using(lambda _, one: one.target.gpu is not None, "baseline", "measure"),
                    *built_with("vllm-cuda"),
                ),
            )
        },
    ),
    Table(
        files=f"{LOCKS}/*",
        unrelated=(
            appended(f"{LOCKS}/other.txt", "other==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"),
            appended(f"{LOCKS}/other.in", "other\n"),
            appended(f"{LOCKS}/aot-cpu.in", "# a comment\n"),
            appended(f"{LOCKS}/aot-cpu.txt", "# a comment\n"),
        ),
        related={
            "another distribution": Related(
                appended(f"{LOCKS}/aot-cpu.txt", "other==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"),
                built_with("aot-cpu"),
            )
        },
    ),
    Table(
        files=MESSAGES,
        unrelated=(changed(MESSAGES, _more_messages),),
        unused="it explains failures, and a failure leaves nothing",
    ),
    Table(
        files="tasks/judging/report/templates/*.j2",
        unrelated=(appended(REPORT, "{# a comment #}\n"),),
        unused="reports are rendered anew from what was measured",
    ),
)
