"""What every stage of every shipped spec is identified by, by SPEC/VARIANT/STAGE.

Trees, commits and what is installed are the same every time, so that only tables and code make a difference.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from artifacts.errors import NoSuchFile
from artifacts.hosts import EngineManifest
from artifacts.store import Listing, Store
from engine_specs.preflight import vendored_checkpoint
from engine_specs.spec import ResolvedVariant, Spec, TextSource, list_specs, load_spec, resolve_variants
from tasks.hosts import host_requirements
from tasks.hub import HubAccess, Location, Repository, Resolved
from tasks.hub.rows import HubTexts, TextsReport
from tasks.kinds import kind_named
from tasks.runs.fingerprint import Document
from tasks.stages import Inputs, KeyedNode, Sources, SpecGraph, verdicts
from tasks.toolchains import declared
from tasks.toolchains.host_checks import HostProgram
from tasks.toolchains.providers.lock.content import Content
from tasks.toolchains.providers.lock.installation import Installation, Plan, identity
from tasks.toolchains.providers.lock.interpreter import Interpreter

COMMIT, DIGEST = "a" * 40, "b" * 64
ACCESS = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=Path("hub"))
TEXTS = TextsReport(
    identity={}, split=None, files=(), rows=1, seed=0, sample_ids=("one",), sample_digest=DIGEST
)


class Pinned(Sources):
    """Everything that a spec refers to, at one commit."""

    checkpoint = cast("Any", Resolved(commit=COMMIT, reason="pinned"))

    def location(self, source: TextSource) -> Location:
        return HubTexts(repo=Repository(kind="dataset", id="some/texts"), commit=COMMIT, reason="pinned")


class SmallFiles(Store):
    """A store that holds what identities are read from: small files, the same in every tree of a variant."""

    def __init__(self, spec: Spec, variant: ResolvedVariant) -> None:
        self.bucket = cast("Any", SimpleNamespace(where=str))
        checkpoint = vendored_checkpoint(spec.checkpoint.repo)
        assert checkpoint is not None
        (architecture,) = checkpoint.config["architectures"]
        manifest = EngineManifest(
            kind=variant.engine.kind,
            architecture=architecture,
            quantization=variant.quantization.recipe,
            shape={},
            tokenizer_sha256=DIGEST,
            requires=host_requirements(variant.target, variant.devices),
            toolchains={},
            tools={},
            serve=kind_named(variant.engine.kind).serve_command(variant),
        )
        self._files = {
            "config.json": json.dumps({"architectures": [architecture], "eos_token_id": 2}),
            "tokenizer.json": json.dumps({"model": {"vocab": {"a": 0, "b": 1, "c": 2}}}),
            "engine.json": manifest.model_dump_json(),
            "texts_report.json": TEXTS.model_dump_json(),
        }

    def get_listing(self, digest: str) -> Listing:
        files = [SimpleNamespace(path=path, sha256=DIGEST) for path in self._files]
        return cast("Listing", SimpleNamespace(files=files))

    def read_file(self, tree: str, path: str) -> bytes:
        if path not in self._files:
            raise NoSuchFile(f"there is no {path} here")
        return self._files[path].encode()


def documents() -> Iterator[tuple[str, Document]]:
    """Every stage, and the basis of each kept verdict."""
    for path in list_specs():
        spec = load_spec(path)
        for variant in resolve_variants(spec):
            yield from _of_variant(spec, variant)


def _of_variant(spec: Spec, variant: ResolvedVariant) -> Iterator[tuple[str, Document]]:
    store, sources = SmallFiles(spec, variant), Pinned(spec, ACCESS)
    for node in SpecGraph(spec, (variant,)):
        if isinstance(node, KeyedNode) and not node.left_out:
            trees = {need.role: DIGEST for need in node.needs}
            inputs = Inputs(trees, {name: installed(name) for name in node.toolchains})
            yield f"{spec.name}/{node.variant}/{node.stage}", node.call(inputs, sources, store).document
    yield f"{spec.name}/{variant.name}/verdict", {"basis": verdicts.basis(spec, variant)}


@cache
def installed(name: str) -> str:
    """The identity of a toolchain in which exactly what its lock names is installed."""
    asked = declared()[name]
    python = Interpreter(path=Path("python"), version=f"{asked.python}.1", machine="m")
    programs = {program: HostProgram(path=Path(program), version="1") for program in asked.programs}
    there = Path("toolchains")
    plan = Plan(
        declaration=asked, interpreter=python, programs=programs, toolchains_dir=there, temporary_dir=there
    )
    content = {one: Content(version=version, files_sha256="e" * 64) for one, version in asked.pins().items()}
    installation = Installation(
        name=name,
        python=python.version,
        machine=python.machine,
        distributions=content,
        torch=asked.torch,
        installed_bytes=1,
        install_s=1.0,
    )
    return identity(installation, plan)
