"""The stages of a dry run: the descriptions that the stages run by, with placeholders for trees. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine_specs.preflight import Examination
from engine_specs.spec import ResolvedVariant, Spec, TextSource
from tasks.comparison import ENGINE, judging_protocol, reference_sides
from tasks.judging.endpoint import Side
from tasks.judging.protocol import Vocabulary
from tasks.kinds import kind_named
from tasks.plan import symbols
from tasks.plan.commands import server_commands, tool_command, worker_command
from tasks.plan.records import DryCommand, DryInput, DryStage, DryToolchain
from tasks.stages import baseline, beside, build, fetch, measure, quantize
from tasks.toolchains import NotInstalled

CHECKPOINT, HELDOUT = "checkpoint", "heldout"
DOES = {
    "fetch checkpoint": "Downloads the files of the commit that vLLM and the kinds read; each is checked "
    "against the digest that the Hub declares.",
    "fetch texts": "Reads the split, and keeps the texts that the seed chooses.",
    "baseline": "vLLM serves the checkpoint and is asked for the declared workload. Under compile: "
    "when-justified, where it meets the objective and an engine twice as fast would not pay, the verdict is "
    "stay-on-vllm and nothing is compiled.",
    "quantize": "ModelOpt quantizes the checkpoint and exports it in the layout that the kind compiles.",
    "build": "Makes the engine tree, with engine.json and the serve recipe.",
    "measure": "One client asks all sides: for accuracy, then, unless that rejects the engine, for speed in "
    "alternating rounds.",
    "judge": "Decides from what was measured, and writes the report.",
    "publish": "Where every required variant has something to deploy: takes the next patch number, writes "
    "releases/NAME/VERSION/release.json last, and moves the channels.",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before anything runs.

    Attributes:
        identity: identity of a toolchain on this host, or why it is not installed.
        trees: digest of each tree that the store holds, by the stage and the variant that made it.
        examined: what pre-flight says of a variant, by name; empty where it was not run.
        cpu_features: CPU flags of this host; empty: any host of the target is meant.
    """

    identity: Callable[[str], str | NotInstalled]
    trees: Mapping[tuple[str, str], str]
    examined: Mapping[str, Examination]
    cpu_features: frozenset[str] = frozenset()

    def features_for(self, variant: ResolvedVariant) -> frozenset[str]:
        """CPU flags of the host that measures a variant: this one's where it is of its target."""
        return self.cpu_features if self.cpu_features.issuperset(variant.target.cpu_features) else frozenset()

    def toolchain(self, name: str) -> DryToolchain:
        """A toolchain, with its identity or the reason why there is none."""
        found = self.identity(name)
        if isinstance(found, NotInstalled):
            return DryToolchain(name=name, identity=None, absent=f"{found.reason} (fix: {found.fix})")
        return DryToolchain(name=name, identity=found)

    def input(self, role: str, name: str, stage: str, variant: str) -> DryInput:
        """An input that a stage makes; with its digest where the store holds it."""
        digest = self.trees.get((stage, variant))
        after = None if digest else f"{stage} {variant}"
        return DryInput(role=role, path=symbols.tree(name), tree=digest, known_after=after)


def fetch_checkpoint(spec: Spec) -> DryStage:
    """The files of the checkpoint, from the Hub."""
    return DryStage(
        stage=fetch.STAGE,
        variant=CHECKPOINT,
        does=DOES["fetch checkpoint"],
        params=spec.checkpoint.model_dump(mode="json"),
        output=symbols.tree(CHECKPOINT),
    )


def fetch_texts(role: str, source: TextSource) -> DryStage:
    """Texts, from the Hub or from a file beside the spec."""
    params = source.model_dump(mode="json", include=set(TextSource.model_fields), exclude_none=True)
    return DryStage(
        stage=fetch.STAGE,
        variant=role,
        does=DOES["fetch texts"],
        params=params,
        output=symbols.tree(role),
    )


class VariantStages:
    """The stages of one variant."""

    def __init__(self, spec: Spec, variant: ResolvedVariant, known: Known) -> None:
        self._spec, self._variant, self._known = spec, variant, known
        self._examined = known.examined.get(variant.name)
        self._calibration = f"calibration-{variant.name}"
        self._quantized, self._engine = f"quantized-{variant.name}", f"engine-{variant.name}"

    def all(self) -> Iterator[DryStage]:
        """All of them, in the order in which they would run.

        Raises:
            TaskError: the kind refuses the variant's options, or names a toolchain that nobody declares.
        """
        yield self._baseline()
        if self._variant.quantization.calibration is not None:
            yield fetch_texts(self._calibration, self._variant.quantization.calibration)
        yield self._quantize()
        yield self._build()
        yield self._measure()
        yield self._judge()

    def _baseline(self) -> DryStage:
        side = reference_sides(self._spec, self._variant, symbols.tree(CHECKPOINT))[0]
        return self._stage(
            baseline.STAGE,
            gpus=symbols.gpus_held(side.recipe.toolchain, side.devices),
            toolchains=(side.recipe.toolchain,),
            inputs=(self._known.input(CHECKPOINT, CHECKPOINT, fetch.STAGE, CHECKPOINT),),
            params={"workload": self._spec.workload.model_dump(mode="json")},
            commands=self._server(side),
        )

    def _quantize(self) -> DryStage:
        calibration = self._variant.quantization.calibration
        texts = symbols.tree(self._calibration) if calibration else None
        work = quantize.describe(
            self._spec.name, self._variant, symbols.tree(CHECKPOINT), texts, beside=beside(self._spec)
        )
        if isinstance(work, quantize.LeftOut):
            return self._stage(quantize.STAGE, does=f"Left out: {work.reason}.", left_out=True)
        inputs = [self._known.input(CHECKPOINT, CHECKPOINT, fetch.STAGE, CHECKPOINT)]
        if calibration:
            inputs.append(self._known.input("calibration", self._calibration, fetch.STAGE, self._calibration))
        return self._stage(
            quantize.STAGE,
            gpus=symbols.gpus_held(work.toolchain, work.gpus.count),
            toolchains=(work.toolchain,),
            inputs=tuple(inputs),
            params=work.params,
            commands=(worker_command(work),),
            output=symbols.tree(self._quantized),
        )

    def _build(self) -> DryStage:
        job = kind_named(self._variant.engine.kind).build_job(self._variant)
        roles = build.toolchains_of(self._variant)
        identities = {
            role: self._known.toolchain(name).identity or symbols.identity(name)
            for role, name in roles.items()
        }
        source = self._source()
        work = build.describe(self._spec.name, self._variant, source.path, identities)
        return self._stage(
            build.STAGE,
            gpus=symbols.gpus_held(work.toolchain, work.gpus.count),
            disk=self._examined.disk if self._examined else None,
            toolchains=tuple(sorted(set(roles.values()))),
            inputs=(source,),
            params=work.params,
            commands=(worker_command(work), *(tool_command(work, command) for command in job.commands)),
            output=symbols.tree(self._engine),
        )

    def _source(self) -> DryInput:
        """The checkpoint that is compiled."""
        if quantize.unquantized(self._variant):
            return self._known.input("checkpoint", CHECKPOINT, fetch.STAGE, CHECKPOINT)
        return self._known.input("checkpoint", self._quantized, quantize.STAGE, self._variant.name)

    def _measure(self) -> DryStage:
        variant = self._variant
        engine = Side(
            name=ENGINE,
            recipe=kind_named(variant.engine.kind).serve_recipe(variant),
            tree=symbols.tree(self._engine),
            devices=variant.devices,
        )
        features = self._known.features_for(variant)
        references = reference_sides(self._spec, variant, symbols.tree(CHECKPOINT), features)
        sides = (engine, *references)
        return self._stage(
            measure.STAGE,
            gpus=sum(symbols.gpus_held(side.recipe.toolchain, side.devices) for side in sides),
            memory=self._examined.memory if self._examined else None,
            toolchains=tuple(sorted({side.recipe.toolchain for side in sides})),
            inputs=(
                self._known.input(ENGINE, self._engine, build.STAGE, variant.name),
                self._known.input(CHECKPOINT, CHECKPOINT, fetch.STAGE, CHECKPOINT),
                self._known.input(HELDOUT, HELDOUT, fetch.STAGE, HELDOUT),
            ),
            params=self._protocol(engine, references),
            commands=tuple(command for side in sides for command in self._server(side)),
        )

    def _protocol(self, engine: Side, references: tuple[Side, ...]) -> dict[str, Any]:
        """The judging protocol; vocabulary, end tokens and texts are known once they are fetched."""
        protocol = judging_protocol(
            self._spec,
            self._variant,
            engine=engine,
            references=references,
            vocabulary=Vocabulary(size=2),
            end_tokens=(),
            text_sha256="known after fetch heldout",
        )
        shown = protocol.model_dump(mode="json", exclude={"engine", "references"})
        late = "known after fetch checkpoint"
        return shown | {"vocabulary": late, "accuracy": shown["accuracy"] | {"end_tokens": late}}

    def _judge(self) -> DryStage:
        return self._stage(
            "judge",
            params={
                "compile": self._spec.compile,
                "economics": self._spec.economics.model_dump(mode="json"),
                "accuracy": self._spec.validation.accuracy.model_dump(mode="json", exclude_none=True),
                "speed": self._spec.validation.speed.model_dump(mode="json"),
            },
        )

    def _stage(self, stage: str, **facts: Any) -> DryStage:
        own = {"variant": self._variant.name, "work_pool": self._variant.target.work_pool}
        return DryStage.model_validate({"stage": stage, "does": DOES[stage], **own, **facts})

    def _server(self, side: Side) -> tuple[DryCommand, ...]:
        return server_commands(side.name, side.recipe, side.tree, side.devices)
