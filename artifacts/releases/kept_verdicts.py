"""Verdicts on variants, kept by whichever host judged them; releases are made from them.

    judged/<name>/<major.minor>/<commit>/<variant>/<basis>/<id>.json     appended

Invariants:
- A verdict holds only for its basis, the digest of what the judge was asked: a changed spec never finds a
  verdict of the old one. The commit is that of the checkpoint.
- Ids sort by time, and nothing is replaced: the newest verdict of a basis is the last of its keys.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pydantic import AwareDatetime, Field, model_validator

from artifacts.canonical import Digest, canonical_bytes
from artifacts.frozen import Frozen
from artifacts.releases.releases import VariantRelease
from artifacts.store import ID_PATTERN, new_id, warn_skipped

if TYPE_CHECKING:
    from artifacts.store import Store

KEY_PATTERN = re.compile(rf"{ID_PATTERN}\.json")
LEVELS_BELOW_NAME = 5
"""Of the keys of a name: version, commit, variant, basis, and the verdict itself."""


class VerdictKey(Frozen):
    """What a verdict is about."""

    name: str = Field(description="Name of the spec.")
    version: str = Field(description="Its declared major.minor.")
    commit: str = Field(description="Commit of the checkpoint.")
    variant: str = Field(description="Name of the variant.")
    basis: Digest = Field(
        description="Digest of all that the spec says about judging it, and of how it is judged."
    )

    @property
    def prefix(self) -> str:
        """The prefix of the keys of these verdicts."""
        return f"judged/{self.name}/{self.version}/{self.commit}/{self.variant}/{self.basis}/"


class KeptVerdict(Frozen):
    """One judged variant."""

    id: str = Field(pattern=f"^{ID_PATTERN}$", description="Unique, and sorts by time.")
    about: VerdictKey = Field(description="What it is about.")
    judged_at: AwareDatetime = Field(description="When it was judged, with time zone.")
    host: str = Field(description="Which host judged it, in words.")
    entry: VariantRelease = Field(description="Its entry in a release.")

    @model_validator(mode="after")
    def _entry_is_of_its_variant(self) -> Self:
        if self.entry.name != self.about.variant:
            raise ValueError(f"a verdict about {self.about.variant} with an entry of {self.entry.name}")
        return self


def keep_verdict(store: "Store", about: VerdictKey, entry: VariantRelease, host: str) -> KeptVerdict:
    """Append a verdict that was just reached."""
    now = datetime.now(UTC)
    kept = KeptVerdict(
        id=new_id(now),
        about=about,
        judged_at=now,
        host=host,
        entry=entry,
    )
    store.bucket.put(_key_of(kept), canonical_bytes(kept))
    return kept


def newest_verdict(store: "Store", about: VerdictKey) -> KeptVerdict | None:
    """Return the newest verdict, or None if there is none; other objects are skipped with a warning.

    Raises IntegrityError if a record is about something other than its key says.
    """
    verdicts = []
    for key in store.bucket.keys(about.prefix):
        if KEY_PATTERN.fullmatch(key.removeprefix(about.prefix)):
            verdicts.append(key)
        else:
            warn_skipped(store.bucket, key, "it is not a verdict")
    return store.read_record(max(verdicts), KeptVerdict, _key_of) if verdicts else None


def verdicts_on(store: "Store", name: str) -> tuple[KeptVerdict, ...]:
    """Return all verdicts on the variants of a spec, oldest first; other objects are skipped with a warning.

    Raises IntegrityError if a record is about something other than its key says.
    """
    prefix, found = f"judged/{name}/", []
    for key in store.bucket.keys(prefix):
        parts = key.removeprefix(prefix).split("/")
        if len(parts) == LEVELS_BELOW_NAME and KEY_PATTERN.fullmatch(parts[-1]):
            found.append(key)
        else:
            warn_skipped(store.bucket, key, "it is not a verdict")
    read = store.read_records(found, KeptVerdict, _key_of)
    return tuple(sorted(read, key=lambda one: one.id))


def _key_of(kept: KeptVerdict) -> str:
    return f"{kept.about.prefix}{kept.id}.json"
