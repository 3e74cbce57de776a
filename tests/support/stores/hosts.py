"""Hosts that have the hardware for some variants of a spec, simulated by what they judge."""

from pathlib import Path

from artifacts.hosts import ENGINE_FILE, HostRequirements, ServeCommand
from artifacts.releases import JudgedOn, Release, VariantRelease
from artifacts.releases.releases import Verdict
from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import ResolvedVariant, Spec, load_spec, resolve_variants
from support.engines.stand_ins import manifest
from support.paths import SPECS
from tasks.runs import Pipeline
from tasks.stages import Published
from tasks.stages.publish import publish
from tasks.stages.verdicts import keep

FILE = SPECS / "llama-3.1-8b-instruct.yaml"
SPEC = load_spec(FILE)
COMMIT = SPEC.checkpoint.revision
RECIPE = ServeCommand(toolchain="t", argv=("a",), model="model")


class Host:
    """A host that has the hardware for some variants: what it judges is kept, then it publishes."""

    def __init__(self, settings: Settings, store: Store, directory: Path) -> None:
        self.said: list[str] = []
        self.pipeline = Pipeline(settings, store, say=self.said.append)
        self._directory = directory

    def judge(
        self, name: str, *, spec: Spec = SPEC, verdict: Verdict = "compile", stand_in: bool = False
    ) -> VariantRelease:
        """A verdict as a build's judge keeps it, with a tree in the store."""
        variant = variant_named(spec, name)
        tree, checkpoint = None, self._put("checkpoint", {"config.json": "{}"})
        if verdict == "compile":
            tree = self._engine(name, stand_in=stand_in)
        entry = VariantRelease(
            name=name,
            required=variant.required,
            target=variant.target.name,
            verdict=verdict,
            reasons=("because",),
            requires=HostRequirements(machine="x86_64"),
            judged_on=JudgedOn(cpu_model="a processor of the tests"),
            serve=RECIPE if tree else None,
            tree=tree,
            vllm_serve=RECIPE,
            vllm_tree=checkpoint,
            checkpoint_tree=checkpoint,
            fingerprints={f"build:{name}": "f" * 64},
        )
        keep(self.pipeline.store, spec, variant, COMMIT, entry)
        return entry

    def _engine(self, name: str, *, stand_in: bool) -> str:
        reported = manifest(stand_in=stand_in).model_dump_json()
        return self._put(f"{name}-{stand_in}", {ENGINE_FILE: reported, "rank0.engine": f"for {name}"})

    def _put(self, place: str, files: dict[str, str]) -> str:
        directory = self._directory / place
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_text(content)
        return self.pipeline.store.put_tree(directory).digest

    def publish(self, *entries: VariantRelease, spec: Spec = SPEC, commit: str = COMMIT) -> Release:
        """The release that comes of these and of what others have judged."""
        outcome = publish(self.pipeline, spec, commit, entries)
        assert isinstance(outcome, Published), outcome
        return outcome.release


def variant_named(spec: Spec, name: str) -> ResolvedVariant:
    """A variant of a spec, whole."""
    return next(one for one in resolve_variants(spec) if one.name == name)
