"""Fixtures of the declarative layer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.specs.text import GOOD

from engine_specs.spec import Spec, load_spec
from engine_specs.tables import kind_facts


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    path = tmp_path / "tiny.yaml"
    path.write_text(GOOD)
    return load_spec(path)


@pytest.fixture
def generous_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind that takes every recipe, to reach rules which no shipped kind can break on its own."""
    facts = (kind_facts.KINDS_DIR / "aot-inductor.yaml").read_text()
    facts = facts.replace("name: aot-inductor", "name: generous")
    facts = facts.replace("  - name: fp8\n", "  - name: fp8\n    cpu: true\n")
    facts = facts.replace(
        "kv_caches:\n", 'kv_caches:\n  - {name: fp8, cpu: true, source: "made up for a test"}\n'
    )
    facts = facts.replace("max_tensor_parallel: 1", "max_tensor_parallel: 8")
    facts = facts.replace("max_pipeline_parallel: 1", "max_pipeline_parallel: 8")
    directory = tmp_path / "kinds"
    directory.mkdir()
    (directory / "generous.yaml").write_text(facts)
    monkeypatch.setattr(kind_facts, "KINDS_DIR", directory)
    kind_facts.load_kinds.cache_clear()
    yield "generous"
    kind_facts.load_kinds.cache_clear()
