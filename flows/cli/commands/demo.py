"""`enginery demo`: the main job, end to end, on this machine."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from artifacts.settings import Settings, load_settings
from flows.cli.console import emit, say
from flows.cli.context import require_local, require_pipeline
from flows.errors import BadArgument

if TYPE_CHECKING:
    from flows.demo.proof import Proof
    from flows.prefect_run import BuildSummary

SPEC = "demo"


def demo(
    *,
    force: Annotated[
        bool, Parameter(help="Run every stage again, and replace damaged files in the store.", negative="")
    ] = False,
) -> int:
    """Run the main job end to end on a small model.

    Starts the local stack and a small Hub; fetches a checkpoint, measures vLLM, quantizes, compiles, judges
    the engine against vLLM, publishes a release, pulls it and generates text. The first run installs
    toolchains (about 10 GB) and takes minutes; a second one reuses what has not changed. `enginery down`
    stops the stack.

    Exit codes: 0 done; 1 a step failed; 2 it is not run from a checkout; 3 there is no engine to deploy; 4
    this host cannot hold a toolchain; 5 a service does not answer; 6 bytes in the store do not match their
    digest.

    For example:

        enginery demo
        enginery demo --force
    """
    require_pipeline()
    require_local()
    settings = load_settings()
    require_data()
    require_host(settings, settings.specs_dir)
    _step(1, "the local stack")
    start_stack(settings)
    from flows.demo.environment import demo_hub, enter

    with demo_hub() as hub_url:
        enter(settings, hub_url)
        _step(2, f"building the spec `{SPEC}`, with a Hub at {hub_url}")
        summary = _build(force=force)
    if summary.version is None:
        _emit_verdict(summary)
        return summary.exit_code
    _step(3, f"pulling {summary.spec}@{summary.version} into an empty directory, and generating text")
    proof = _prove(settings, summary)
    _emit_verdict(summary)
    _emit_proof(summary, proof)
    return summary.exit_code


def require_data() -> None:
    """Check that the demo's model and texts are here; raise BadArgument if they are not."""
    from flows.demo.hub_repo import DEMO_HUB

    if not DEMO_HUB.is_dir():
        raise BadArgument(
            "the demo's model and texts are not part of an installed package",
            where=str(DEMO_HUB),
            fix="run `make demo` in a checkout of enginery",
        )


def require_host(settings: Settings, specs_dir: Path | None = None) -> None:
    """Check that this host can have the toolchain that the demo begins with.

    Args:
        settings: name the directories of this host.
        specs_dir: directory of the demo's spec; None: the packaged one.

    Raises ToolchainUnavailable if it cannot.
    """
    from engine_specs.spec import load_spec, resolve_variants
    from flows.readiness import require_first_toolchains

    require_first_toolchains(resolve_variants(load_spec(SPEC, specs_dir)), settings)


def start_stack(settings: Settings) -> None:
    """Start what of the local stack is not running, and say where it answers."""
    from flows.stack.lifecycle import up

    for component in up(settings, say).components:
        say(f"  {component.name:<15} {component.url}")


def _build(*, force: bool) -> "BuildSummary":
    from flows.build import build

    summary: BuildSummary = build(SPEC, force=force)
    return summary


def _prove(settings: Settings, summary: "BuildSummary") -> "Proof":
    from artifacts.store import open_store
    from flows.demo.proof import prove

    reference = f"{summary.spec}@{summary.version}"
    deployable = next(variant.name for variant in summary.variants if variant.tree)
    return prove(open_store(settings), settings, reference, deployable, say)


def _step(number: int, what: str) -> None:
    say(f"[{number}/3] {what}")


def _emit_verdict(summary: "BuildSummary") -> None:
    from flows.prefect_run import describe

    emit("")
    emit(describe(summary))


def _emit_proof(summary: "BuildSummary", proof: "Proof") -> None:
    from flows.demo.proof import PROMPT

    reference = f"{summary.spec}@{summary.version}"
    emit(f"pulled: {proof.pulled.directory} ({proof.pulled.reason})")
    tokens = len(proof.from_pull.token_ids)
    emit(f"generated: the pulled tree and the judged one return the same {tokens} tokens")
    emit(textwrap.indent(PROMPT + proof.from_pull.text, "  | ", predicate=bool))
    emit("next:")
    emit(f"  enginery show {reference}        enginery report {reference}")
    emit(f"  enginery serve {proof.pulled.directory}")
    emit("  enginery demo                    run it again: what has not changed is reused")
    emit("  enginery down                    stop the local stack")
