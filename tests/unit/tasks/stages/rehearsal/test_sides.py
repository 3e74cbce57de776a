"""Which sides a rehearsal measures: those that the other version of a toolchain makes different."""

from pathlib import Path

import pytest
from support.engines.stand_ins import manifest
from support.paths import E2E_SPEC
from support.stores.directory_bucket import DirectoryBucket
from support.stores.releases import variant

from artifacts.errors import NotFound
from artifacts.hosts import ENGINE_FILE, ServeCommand
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from engine_specs.spec import read_spec, resolve_variants
from tasks.errors import ToolchainSettingInvalid
from tasks.hub import HubAccess
from tasks.judging import Side
from tasks.runs import Pipeline
from tasks.stages import Sources
from tasks.stages.rehearsal import Upgrade, rehearse, session
from tasks.stages.rehearsal.session import NEW_REFERENCE, REBUILT, REFERENCE, RELEASED, Made, sides_of
from tasks.toolchains import Toolchain

SPEC = read_spec(E2E_SPEC.read_text(), E2E_SPEC)
(VARIANT,) = resolve_variants(SPEC)
VLLM = ServeCommand(toolchain="vllm-cpu", argv=("{python}",), model="model")
ENGINE = ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="model")


@pytest.fixture
def pipeline(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A host whose toolchains are what the settings call them."""
    here = Path("/nowhere")

    def ensure(name: str, given: Settings, say: object = None) -> Toolchain:
        identity = str(given.toolchains.get(name, {}).get("lock", "0"))
        return Toolchain(name=name, root=here, python=here, bin_dir=here, identity=identity, versions={})

    monkeypatch.setattr(session, "ensure", ensure)
    store = Store(DirectoryBucket(tmp_path / "bucket"), BlobCache(settings.cache_dir))
    store.ensure_bucket()
    return Pipeline(settings, store, say=lambda _: None)


def engine(pipeline: Pipeline, root: Path, name: str) -> str:
    """A tree with an engine; its name makes it another one."""
    (root / name).mkdir()
    said = manifest(stand_in=False).model_copy(update={"serve": ENGINE})
    (root / name / ENGINE_FILE).write_text(said.model_dump_json())
    (root / name / "model").write_text(name)
    return pipeline.store.put_tree(root / name).digest


def names(pipeline: Pipeline, upgraded: str, released: str, rebuilt: str) -> list[str]:
    return [one.name for one in sides(pipeline, upgraded, released, rebuilt)]


def sides(
    pipeline: Pipeline, upgraded: str, released: str, rebuilt: str, vllm_tree: str = "c" * 64
) -> list[Side]:
    settings = pipeline.settings
    other = settings.model_copy(update={"toolchains": {upgraded: {"lock": "1"}}})
    made = Made(
        upgrade=Upgrade(upgraded, settings, other),
        sources=Sources(SPEC, HubAccess.from_environment()),
        trees={},
        checkpoint="c" * 64,
        heldout="d" * 64,
        engine=rebuilt,
    )
    served = {"vllm_serve": VLLM, "vllm_tree": vllm_tree, "checkpoint_tree": "c" * 64}
    entry = variant("cpu-int8", released, serve=ENGINE, **served)
    return [one.side for one in sides_of(pipeline, VARIANT, entry, made)]


def test_what_the_other_version_leaves_alone_is_measured_once(pipeline: Pipeline, tmp_path: Path) -> None:
    old, new = (engine(pipeline, tmp_path, name) for name in ("old", "new"))
    assert names(pipeline, "vllm-cpu", old, old) == [REFERENCE, NEW_REFERENCE, RELEASED]
    assert names(pipeline, "aot-cpu", old, new) == [REFERENCE, RELEASED, REBUILT]
    assert names(pipeline, "aot-serve-cpu", old, old) == [REFERENCE, RELEASED, REBUILT]
    assert names(pipeline, "vllm-cpu", old, new) == [REFERENCE, NEW_REFERENCE, RELEASED, REBUILT]


def test_a_reference_on_the_weights_of_the_engine_is_served_from_them(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    old = engine(pipeline, tmp_path, "old")
    trees = {one.name: one.tree for one in sides(pipeline, "vllm-cpu", old, old, "b" * 64)}
    assert trees[REFERENCE] == trees[NEW_REFERENCE] == "b" * 64


def test_a_version_that_changes_nothing_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    old = engine(pipeline, tmp_path, "old")
    with pytest.raises(ToolchainSettingInvalid, match="changes neither the engine nor the reference"):
        names(pipeline, "vllm-cuda", old, old)


def test_without_a_release_there_is_nothing_to_compare(pipeline: Pipeline) -> None:
    upgrade = Upgrade("vllm-cpu", pipeline.settings, pipeline.settings)
    with pytest.raises(NotFound, match="no release of e2e deploys an engine of cpu-int8"):
        rehearse(pipeline, SPEC, VARIANT, upgrade, HubAccess.from_environment())
