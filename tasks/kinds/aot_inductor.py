"""Kind aot-inductor: torch.export and AOTInductor into .pt2 packages, with a small server of its own."""

from dataclasses import dataclass

from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds
from tasks.kinds.kind import JobPlan
from tasks.workers.aot.request import SERVER, AotAdmission, AotParams, Target
from tasks.workers.common.shape import Shape
from tasks.workers.common.tool_command import ToolCommand

WORKER = "tasks.workers.aot.build"


@dataclass(frozen=True, slots=True)
class AotInductor:
    """The kind aot-inductor; its facts (architectures, recipes, toolchains) are data."""

    name: str = "aot-inductor"

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:  # noqa: ARG002  it has no options
        """Return nothing: this kind has no options."""
        return ()

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that builds this variant.

        The parameters hold only what changes the engine: neither the variant's name nor whether a release
        requires it, so that variants that describe the same engine share it.
        """
        facts = load_kinds()[self.name]
        target = variant.target
        return JobPlan(
            toolchain=facts.toolchains.build[variant.target.accelerator],
            worker=WORKER,
            params=AotParams(
                kind=self.name,
                recipe=variant.quantization.recipe,
                shape=Shape(**variant.shape.model_dump()),
                target=Target(
                    machine=target.machine,
                    march=target.march,
                    cpu_features=tuple(target.cpu_features),
                    gpu_names=tuple(target.gpu.product_names) if target.gpu else (),
                    compute_capability=target.compute_capability,
                ),
                serve=self.serve_command(variant).model_dump(mode="json"),
            ),
            admission=AotAdmission(tuple(facts.architecture_names)),
            ships=(SERVER,),
        )

    def serve_command(self, variant: ResolvedVariant) -> ServeCommand:
        """Return the command of this kind's own server, whose source files are in the tree."""
        argv = (
            "{python}",
            "-P",
            "-m",
            SERVER,
            "--tree",
            "{tree}",
            "--host",
            "{host}",
            "--port",
            "{port}",
            "--model",
            "{model}",
        )
        return ServeCommand(
            toolchain=load_kinds()[self.name].toolchains.serve[variant.target.accelerator],
            argv=argv,
            env={"PYTHONPATH": "{tree}/server"},
            model="model",
        )

    def benchmark_command(self, variant: ResolvedVariant, concurrency: int) -> ToolCommand | None:  # noqa: ARG002
        """Return none: its server is ours, and so is its only client."""
        return None


AOT_INDUCTOR = AotInductor()
