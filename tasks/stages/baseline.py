"""baseline: vLLM serves the unquantized checkpoint on the declared workload, before anything is compiled."""

from dataclasses import dataclass
from typing import Any

from artifacts.store import Measurement, Store
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import load_plan, occupied_devices, reference_sides, served
from tasks.hosts import this_host
from tasks.hub import CONFIG_FILE
from tasks.judging.economics import Go, Stay, baseline_decision
from tasks.judging.end_tokens import end_tokens
from tasks.judging.endpoint import Side
from tasks.judging.judge import baseline_load
from tasks.judging.load import LoadPlan
from tasks.judging.prompts import vocabulary_of
from tasks.judging.protocol import Vocabulary
from tasks.judging.results import LoadResult
from tasks.runs import Pipeline, measure_once
from tasks.stages.fetch import TOKENIZER_FILE, read_json
from tasks.toolchains import ensure

STAGE = "baseline"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What vLLM gives, and whether compiling is worth a try."""

    load: LoadResult
    decision: Stay | Go
    measurement: Measurement
    reason: str


def describe(side: Side, plan: LoadPlan, identity: str) -> dict[str, Any]:
    """What a baseline is keyed by; `identity` is that of the toolchain that serves."""
    return {
        "stage": STAGE,
        "protocol": plan.digest(side),
        "toolchains": {side.recipe.toolchain: identity},
        "host": this_host().model_dump(mode="json"),
    }


def measure_baseline(pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, checkpoint: str) -> Baseline:
    """Measure vLLM, or reuse a young measurement, and decide whether to go on.

    Raises:
        tasks.errors.TaskError: the toolchain cannot be had, or the server never got ready, broke or died.
    """
    side = reference_sides(spec, variant, checkpoint)[0]
    plan = load_plan(spec, vocabulary_in(pipeline.store, checkpoint))
    toolchain = ensure(side.recipe.toolchain, pipeline.settings, on_progress=pipeline.say)

    def measure() -> tuple[dict[str, Any], bool]:
        with served(pipeline, [side], f"{spec.name}-{variant.name}-{STAGE}") as (endpoint,):
            load = baseline_load(endpoint, plan, say=pipeline.say)
        return load.model_dump(mode="json"), True

    document = describe(side, plan, toolchain.identity)
    devices = occupied_devices([side])
    measurement, reason = measure_once(pipeline, "baseline", document, measure, devices=devices)
    load = LoadResult.model_validate(measurement.result)
    decision = baseline_decision(load, spec.economics, spec.workload, compile_mode=spec.compile)
    pipeline.say(f"baseline {variant.name}: {decision.reason}")
    return Baseline(load, decision, measurement, reason)


def end_tokens_in(store: Store, checkpoint: str) -> tuple[int, ...]:
    """The ids that end a sequence of a checkpoint in the store; reads small files alone."""
    there = {file.path for file in store.get_listing(checkpoint).files}
    generation, config, tokenizer_config, tokenizer = (
        read_json(store, checkpoint, name) if name in there else {}
        for name in ("generation_config.json", CONFIG_FILE, "tokenizer_config.json", TOKENIZER_FILE)
    )
    return end_tokens(
        generation=generation, config=config, tokenizer_config=tokenizer_config, tokenizer=tokenizer
    )


def vocabulary_in(store: Store, checkpoint: str) -> Vocabulary:
    """The vocabulary of a checkpoint in the store; reads its tokenizer alone."""
    return vocabulary_of(read_json(store, checkpoint, TOKENIZER_FILE))
