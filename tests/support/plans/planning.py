"""Stores in which everything of a spec was made already, for plans of it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artifacts.hosts import ENGINE_FILE
from engine_specs.spec import Spec, read_spec, resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from support.engines.stand_ins import manifest
from support.judging.judgements import measured, open_loop_side, speed_point
from support.paths import E2E_SPEC
from tasks.hub import HubAccess
from tasks.hub.rows import REPORT_FILE, TextsReport
from tasks.judging.results import LoadPoint, LoadResult
from tasks.kinds import kind_named
from tasks.runs import Made, MeasurementCall, Pipeline, run_stage
from tasks.runs.measurements import Finding, keep_measurement
from tasks.stages import Inputs, KeyedNode, MeasuredNode, Sources, SpecGraph, VariantGraph
from tasks.stages.baseline import baseline_finding
from tasks.toolchains import Toolchain

FILE = E2E_SPEC
DEMO = DEMO_HUB / "enginery" / "demo-llama"
IDENTITY = "a" * 64
REPORT = TextsReport(
    identity={}, split=None, files=(), rows=1, seed=0, sample_ids=("0",), sample_digest="5" * 64
)


def installed(name: str) -> Toolchain:
    """The toolchain of a host that has every one, all with the same identity."""
    root = Path("/opt", name)
    return Toolchain(
        name=name, root=root, python=root / "bin/python", bin_dir=root / "bin", identity=IDENTITY, versions={}
    )


def numbered_spec(number: int) -> Spec:
    """One of many specs that share nothing but the checkpoint's repository."""
    text = FILE.read_text().replace("name: e2e", f"name: e2e-{number}")
    text = text.replace("e3cd0e8a1b9dd3ef61851d4ef03fe7e3fb995bb6", f"{number:040x}")
    return read_spec(text.replace("samples: 200", f"samples: {200 + number}"), FILE)


def keep_everything(
    pipeline: Pipeline,
    spec: Spec,
    access: HubAccess,
    *,
    until: str = "",
    in_open_loop: bool = True,
    requests: int = 400,
) -> None:
    """Put the results of all stages into the store, or of those up to a stage; the trees are small.

    Args:
        pipeline: settings and store.
        spec: a spec of one variant, over the demo's checkpoint.
        access: the Hub, which is not asked.
        until: name of the last stage; empty: all.
        in_open_loop: whether vLLM was asked in open loop as well.
        requests: how many the budget allowed there.
    """
    sources, trees = Sources(spec, access), dict[str, str]()
    graph = SpecGraph(spec, resolve_variants(spec), quiet_host=pipeline.settings.quiet_host)
    (nodes,) = graph.variants
    for node in graph:
        if not isinstance(node, KeyedNode) or node.left_out:
            continue
        needs = {need.role: trees[need.node.title] for need in node.needs}
        inputs = Inputs.given(needs, {name: installed(name) for name in node.toolchains})
        call = node.call(inputs, sources, pipeline.store)
        if isinstance(call, MeasurementCall):
            assert isinstance(node, MeasuredNode)
            finding: Finding[Any] = Finding(measured("0" * 64, [0.0] * 200, ratio=1.4))
            if node is nodes.baseline:
                load = _load(node, inputs, in_open_loop=in_open_loop, requests=requests)
                finding = baseline_finding(load)
            keep_measurement(pipeline, call, finding, device_s=1.0)
        else:
            trees[node.title] = run_stage(pipeline, call, _maker(node, nodes)).tree
        if node.stage == until:
            return


def _load(node: MeasuredNode, inputs: Inputs, *, in_open_loop: bool, requests: int) -> LoadResult:
    """vLLM at 500 tokens/s, within its objective."""
    point = speed_point(1.0, noise=0.0, pairs=3, concurrency=1, rate=500.0)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    return LoadResult(
        side=node.sides(inputs)[-1],
        protocol_digest="0" * 64,
        operating_point=1,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
        open_loop=open_loop_side("vllm", 500.0, requests) if in_open_loop else None,
    )


def _maker(node: KeyedNode, nodes: VariantGraph) -> Callable[[Path, Path], Made]:
    """What writes a tree with the small files that later stages read."""

    def make(output: Path, _scratch: Path) -> Made:
        (output / "made-by").write_text(f"{node.spec.name} {node.title}")
        if node.makes == "heldout":
            (output / REPORT_FILE).write_text(REPORT.model_dump_json())
        elif node.makes == nodes.build.makes:
            serve = kind_named(nodes.variant.engine.kind).serve_command(nodes.variant)
            tokenizer = hashlib.sha256((DEMO / "tokenizer.json").read_bytes()).hexdigest()
            facts = {"serve": serve, "tokenizer_sha256": tokenizer}
            engine = manifest(stand_in=False).model_copy(update=facts)
            (output / ENGINE_FILE).write_text(engine.model_dump_json())
        else:
            for name in ("config.json", "tokenizer.json"):
                (output / name).write_bytes((DEMO / name).read_bytes())
        return Made()

    return make
