"""Releases for tests, with what does not matter filled in."""

from datetime import UTC, datetime
from typing import Any

from artifacts.canonical import digest_of
from artifacts.hosts import HostRequirements, ServeCommand
from artifacts.releases import DEPLOYABLE, JudgedOn, Release, VariantRelease, reserve_version
from artifacts.releases.releases import publish
from artifacts.store import Store

CPU_MODEL = "a processor of the tests"
RECIPE = ServeCommand(toolchain="aot-serve-cpu", argv=("{python}", "{tree}/serve.py"), model="demo")
NOTHING = "0" * 64


def variant(
    name: str, tree: str = NOTHING, *features: str, verdict: str = "compile", **changes: Any
) -> VariantRelease:
    """A judged variant that needs these CPU features."""
    deployable = verdict in DEPLOYABLE
    facts: dict[str, Any] = {
        "name": name,
        "required": True,
        "target": f"cpu-{name}",
        "verdict": verdict,
        "reasons": (f"because of {name}",),
        "requires": HostRequirements(machine="x86_64", cpu_features=tuple(sorted(features))),
        "judged_on": JudgedOn(cpu_model=CPU_MODEL),
        "serve": RECIPE if deployable else None,
        "tree": tree if deployable else None,
        "vllm_serve": RECIPE,
        "checkpoint_tree": tree,
    }
    said = {**facts, **changes}
    return VariantRelease(**{"vllm_tree": said["checkpoint_tree"], **said})


def release(
    *variants: VariantRelease, name: str = "demo", version: str = "1.4.0", content: str = ""
) -> Release:
    """A release of these variants; `content` makes it another publication."""
    return Release(
        name=name,
        version=version,
        publication_fingerprint=digest_of([name, content or version]),
        created_at=datetime.now(UTC),
        checkpoint_repo="someone/model",
        checkpoint_revision="0" * 40,
        variants=variants,
    )


def published(store: Store, *variants: VariantRelease, name: str = "demo", content: str = "") -> Release:
    """Reserve the next version of 1.4 and publish a release under it."""
    version = reserve_version(store, name, "1.4", digest_of([name, content]))
    return publish(store, release(*variants, name=name, version=version, content=content))
