"""Releases: each is one immutable version of one spec, an index of its judged variants.

Invariants:
- A release exists when its `release.json` exists; that file is written last and never replaced.
- A version is reserved before it is published (`versions`); one that is never published stays a gap.
- A variant can be deployed if and only if it has both a tree and a serve command, that is, if its verdict is
  `compile` or `stay-on-vllm`.
- A release holds its own name and version: one stored under another key is an integrity error.
- No release names a tree made by a stand-in for a tool (`artifacts.hosts.stand_in`), whoever publishes it.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from artifacts.canonical import Digest, canonical_bytes
from artifacts.errors import AlreadyExists, Conflict, IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.hosts import HostRequirements, ServeCommand, refuse_stand_in
from artifacts.parallel import READ_THREADS, run_all
from artifacts.releases.judged_on import JudgedOn
from artifacts.store import warn_skipped

if TYPE_CHECKING:
    from artifacts.store import Store

Verdict = Literal["compile", "stay-on-vllm", "rejected", "inconclusive"]
DEPLOYABLE: tuple[Verdict, ...] = ("compile", "stay-on-vllm")
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
VERSION_PATTERN = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"
KEY_PATTERN = re.compile(
    rf"releases/[^/]+/(?P<version>{VERSION_PATTERN[1:-1]})/(?P<file>release|reserved)\.json"
)


class VariantRelease(Frozen):
    """One judged variant within a release."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the variant.")
    required: bool = Field(description="Whether the release waits for this variant's verdict.")
    target: str = Field(description="Name of the target that it was built for.")
    verdict: Verdict = Field(description="What was decided.")
    reasons: tuple[str, ...] = Field(description="Why, in sentences.")
    since_last: str = Field(
        default="",
        description="How speeds changed since the last release with an engine, in sentences; empty if there "
        "was none.",
    )
    requires: HostRequirements = Field(description="What a host must have to serve the tree to deploy.")
    judged_on: JudgedOn = Field(description="The hardware that its speed was measured on.")
    serve: ServeCommand | None = Field(
        description="The command that serves it; none if rejected or inconclusive."
    )
    tree: Digest | None = Field(
        description="The tree to deploy: engine for `compile`, what vLLM serves for `stay-on-vllm`; none "
        "otherwise."
    )
    vllm_serve: ServeCommand = Field(description="The serve command of vLLM, which it was judged against.")
    vllm_tree: Digest = Field(
        description="The tree that this command serves: the unquantized checkpoint, or the quantized weights "
        "that the engine was made of."
    )
    checkpoint_tree: Digest = Field(description="Tree of the unquantized checkpoint.")
    quantized_source: str = Field(
        default="",
        description="REPOSITORY@COMMIT of the ready-made quantized checkpoint; empty: it has none.",
    )
    speculative: str = Field(
        default="",
        exclude_if=lambda text: not text,
        description="How tokens are drafted, with REPOSITORY@COMMIT of what drafts; empty: they are not.",
    )
    report: Digest | None = Field(default=None, description="Tree of the report.")
    evidence: Digest | None = Field(
        default=None,
        description="Tree of the measurements with all samples, and of what came of them.",
    )
    fingerprints: dict[str, str] = Field(default_factory=dict, description="Fingerprint of each stage.")
    measurements: tuple[str, ...] = Field(
        default=(), description="Ids of the measurements that it was judged by."
    )

    @property
    def trees(self) -> tuple[str, ...]:
        """The trees that it names, each once: the one to deploy, those of vLLM, report and evidence."""
        named = (self.tree, self.vllm_tree, self.checkpoint_tree, self.report, self.evidence)
        return tuple(dict.fromkeys(tree for tree in named if tree is not None))

    @model_validator(mode="after")
    def _served_if_deployable(self) -> Self:
        deployable = self.verdict in DEPLOYABLE
        if deployable != (self.tree is not None) or deployable != (self.serve is not None):
            raise ValueError(
                f"variant {self.name}: tree and serve must be set for {' and '.join(DEPLOYABLE)} only"
            )
        return self


class Release(Frozen):
    """`release.json`: one immutable version of one spec."""

    format: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN, description="Name of the spec.")
    version: str = Field(
        pattern=VERSION_PATTERN, description="major.minor.patch; the patch was assigned at publication."
    )
    publication_fingerprint: Digest = Field(
        description="What this publication consists of; a retry has the same one."
    )
    created_at: AwareDatetime = Field(description="When it was published, with time zone.")
    checkpoint_repo: str = Field(description="Repository of the checkpoint on the Hub.")
    checkpoint_revision: str = Field(description="Commit of the checkpoint.")
    source_commit: str = Field(
        default="", description="Commit of the pipeline that made it; empty outside a checkout."
    )
    spec: dict[str, JsonValue] = Field(
        default_factory=dict, description="The spec, resolved, as it was judged."
    )
    variants: tuple[VariantRelease, ...] = Field(
        min_length=1, description="The judged variants, in the spec's order."
    )

    @model_validator(mode="after")
    def _variant_names_are_unique(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variant names repeat: {', '.join(names)}")
        return self

    def variant(self, name: str) -> VariantRelease:
        """Return the variant of that name; raises KeyError."""
        return {variant.name: variant for variant in self.variants}[name]


def publish(store: "Store", release: Release) -> Release:
    """Write `release.json`; from then on the release exists and cannot change.

    Returns the stored release: this one, or an earlier one of the same publication fingerprint (a retry).
    Raises AlreadyExists if the version is another publication's, and what `require_trees` raises.
    """
    require_trees(store, release.variants)
    key = _key_of(release)
    try:
        store.bucket.put(key, canonical_bytes(release), if_absent=True)
    except Conflict:
        stored = store.read_record(key, Release, _key_of)
        if stored.publication_fingerprint != release.publication_fingerprint:
            raise AlreadyExists(
                f"{release.name}@{release.version} was published with other content",
                where=store.bucket.where(key),
                fix="reserve another version for this publication; a published one never changes",
            ) from None
        return stored
    return release


def require_trees(store: "Store", variants: Iterable[VariantRelease]) -> None:
    """Check that all that these variants name can be published: engines, checkpoints, reports, evidence.

    Raises NotFound if the store lacks a tree or a blob of it, StandInRefused if a stand-in made one.
    """
    for variant in variants:
        for tree in variant.trees:
            if missing := store.missing_of(tree):
                raise NotFound(
                    f"tree {tree} of variant {variant.name} is missing from the store, or incomplete: "
                    f"{'; '.join(missing)}",
                    where=str(store.bucket),
                    fix="build the variant again, which puts back what is missing; nothing was published",
                )
            refuse_stand_in(store, tree, "published")


def read_release(store: "Store", name: str, version: str) -> Release:
    """Return the release of exactly this version; raises NotFound, and IntegrityError if it is another."""
    return store.read_record(release_key(name, version), Release, _key_of)


def published_versions(store: "Store", name: str) -> tuple[str, ...]:
    """Return the published versions of a name, oldest first; those that were only reserved do not count.

    What is neither a release nor a reservation is skipped with a warning.
    """
    found: list[str] = []
    for key in store.bucket.keys(f"releases/{name}/"):
        match = KEY_PATTERN.fullmatch(key)
        if match is None:
            warn_skipped(store.bucket, key, "it does not belong to a release")
        elif match["file"] == "release":
            found.append(match["version"])
    return tuple(sorted(found, key=version_key))


def list_releases(store: "Store", name: str) -> tuple[Release | IntegrityError, ...]:
    """Return all published releases of a name, oldest version first.

    A release that is damaged, or is not what its key says, is replaced by the error that reports it.
    """

    def read(version: str) -> Release | IntegrityError:
        try:
            return read_release(store, name, version)
        except IntegrityError as error:
            return error

    return tuple(run_all(read, published_versions(store, name), READ_THREADS))


def list_names(store: "Store") -> tuple[str, ...]:
    """Return the names that have a reserved version, sorted; other objects are skipped with a warning."""
    names = list(store.bucket.children("releases/"))
    for name in names:
        if not re.fullmatch(NAME_PATTERN, name):
            warn_skipped(store.bucket, f"releases/{name}/", "this is not the name of a spec")
    return tuple(name for name in names if re.fullmatch(NAME_PATTERN, name))


def release_key(name: str, version: str) -> str:
    """Return the key of a release in the store."""
    return f"releases/{name}/{version}/release.json"


def _key_of(release: Release) -> str:
    return release_key(release.name, release.version)


def version_key(version: str) -> tuple[int, ...]:
    """Return the sort key of `1.4` or `1.4.2`."""
    return tuple(int(part) for part in version.split("."))
