"""Plans of the demo with one variant, whose checkpoint is a ready-made one of a Hub of the tests."""

from pathlib import Path

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Spec, read_spec, resolve_variants
from support.paths import DATA
from support.servers.hub_faults import FaultyHub
from tasks.hub import HubAccess
from tasks.plan import SpecPlan, plan_spec
from tasks.runs import Pipeline

SPEC = DATA / "specs" / "vllm-e2e.yaml"


def spec_of(hub: FaultyHub, repo: str, target: str = "cpu-x86-64-v3", kind: str = "vllm") -> Spec:
    """The demo with one variant, whose checkpoint is ready-made."""
    source = f"{{repo: {repo}, revision: {hub.repos['model', repo].commit}}}"
    engine = "" if kind == "vllm" else f", engine: {{kind: {kind}, options: null}}"
    head, rest = SPEC.read_text().split("  - {name: cpu,")
    rest = rest[rest.index("\nworkload:") :]
    row = f"  - {{name: made, target: {target}, quantization: {{source: {source}}}{engine}}}\n"
    text = (head + row + rest).replace("quantization: {recipe: none}", "quantization: {kv_cache: none}")
    text = text.replace(
        "e3cd0e8a1b9dd3ef61851d4ef03fe7e3fb995bb6", hub.repos["model", "enginery/demo-llama"].commit
    )
    return read_spec(text.replace("options: {dtype: float32}", "options: {dtype: bfloat16}"), SPEC)


def planned(spec: Spec, hub: FaultyHub, store: Store, tmp_path: Path) -> SpecPlan:
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    return plan_spec(pipeline, spec, access_to(hub, tmp_path), resolve_variants(spec), commands=True)


def access_to(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf", timeout_s=5.0)
