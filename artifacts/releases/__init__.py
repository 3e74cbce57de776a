"""Releases of judged variants, channels that point to them, and pulls that install them.

Promises:
- A released version never changes. One last write makes it visible.
- Every installed byte was verified; otherwise nothing is installed.
"""

from artifacts.releases.channels import Channel, list_channels, move_channel
from artifacts.releases.inspection import inspect_release
from artifacts.releases.installs import (
    CURRENT,
    installed_variant,
    is_install,
    read_install,
    require_whole,
    verify_install,
)
from artifacts.releases.judged_on import JudgedOn, judged_elsewhere, judged_here
from artifacts.releases.kept_verdicts import (
    KeptVerdict,
    VerdictKey,
    keep_verdict,
    newest_verdict,
    verdicts_on,
)
from artifacts.releases.pull import PulledRelease, pull_release
from artifacts.releases.references import PATTERN, parse_reference, resolve
from artifacts.releases.releases import (
    DEPLOYABLE,
    Release,
    VariantRelease,
    list_names,
    list_releases,
    published_versions,
    read_release,
    version_key,
)
from artifacts.releases.versions import reserve_version

__all__ = [
    "CURRENT",
    "DEPLOYABLE",
    "PATTERN",
    "Channel",
    "JudgedOn",
    "KeptVerdict",
    "PulledRelease",
    "Release",
    "VariantRelease",
    "VerdictKey",
    "inspect_release",
    "installed_variant",
    "is_install",
    "judged_elsewhere",
    "judged_here",
    "keep_verdict",
    "list_channels",
    "list_names",
    "list_releases",
    "move_channel",
    "newest_verdict",
    "parse_reference",
    "published_versions",
    "pull_release",
    "read_install",
    "read_release",
    "require_whole",
    "reserve_version",
    "resolve",
    "verdicts_on",
    "verify_install",
    "version_key",
]
