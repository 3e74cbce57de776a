"""`enginery list`, `show`, `report`: views of what was published."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from artifacts.errors import BadReference, IntegrityError, NotFound
from artifacts.settings import load_settings
from flows.cli.console import emit, emit_json, emit_table, say
from flows.cli.context import named_release, open_local_or_configured_store
from flows.errors import BadArgument

if TYPE_CHECKING:
    from artifacts.hosts import EngineManifest
    from artifacts.releases import Release, VariantRelease
    from artifacts.store import Store

Json = Annotated[bool, Parameter(help="Print one JSON document.", negative="")]
Ref = Annotated[str, Parameter(help="name, name:channel, name@1.4 or name@1.4.2.")]
Attached = Literal["report", "evidence"]

REPORT_PAGE = "report.html"


def list_releases(
    name: Annotated[str | None, Parameter(help="List only the releases of this name.")] = None,
    /,
    *,
    json: Json = False,
) -> None:
    """List the releases, or those of one name, oldest first.

    A release whose record is damaged, or does not match its key, is left out and named at the end.

    Exit codes: 0 done; 2 the name is invalid; 4 there is no release of that name; 5 the store does not
    answer; 6 a record is damaged.

    For example:

        enginery list
        enginery list demo --json
    """
    from artifacts.releases import list_releases as releases_of

    store = open_local_or_configured_store(load_settings())
    read = [found for each in _names(store, name) for found in releases_of(store, each)]
    releases = [found for found in read if not isinstance(found, IntegrityError)]
    if json:
        emit_json(
            [
                {**release.model_dump(mode="json"), "channels": _channels(store, release)}
                for release in releases
            ]
        )
    else:
        _emit_releases(store, releases)
    _raise_for([found for found in read if isinstance(found, IntegrityError)])


def _emit_releases(store: "Store", releases: "Sequence[Release]") -> None:
    rows = [
        (
            f"{release.name}@{release.version}",
            ", ".join(_channels(store, release)),
            f"{release.created_at:%Y-%m-%d %H:%M}",
            ", ".join(f"{variant.name}: {variant.verdict}" for variant in release.variants),
        )
        for release in releases
    ]
    emit_table(
        ("release", "channels", "published", "verdicts"),
        rows,
        empty=f"nothing has been published yet in {store.bucket}",
        wraps="verdicts",
    )


def show(reference: Ref, /, *, json: Json = False) -> None:
    """Show one release: its variants, their verdicts and reasons, what they need and how they are served.

    A name alone means its channel `stable` or, if it has none, its newest release.

    Exit codes: 0 done; 2 the reference is invalid; 4 there is no such release; 5 the store does not answer.

    For example:

        enginery show demo
        enginery show demo:nightly
        enginery show demo@0.1.0 --json
    """
    store = open_local_or_configured_store(load_settings())
    release = named_release(store, reference)
    engines = _engines(store, release)
    if json:
        emit_json({**release.model_dump(mode="json"), "engines": engines})
        return
    from flows.text.release import release_lines

    for line in release_lines(release, engines):
        emit(line)


def report(
    reference: Ref,
    /,
    *,
    variant: Annotated[str | None, Parameter(help="Fetch only the report of this variant.")] = None,
    verdict: Annotated[
        str | None,
        Parameter(help="Fetch that of this kept verdict, published or not: an id that `history` shows."),
    ] = None,
    to: Annotated[Path | None, Parameter(help="Write the page to this file.")] = None,
    json: Json = False,
) -> None:
    """Fetch the reports of a release and print their paths.

    Each is an HTML page, with every number as JSON next to it.

    A name alone means its channel `stable` or, if it has none, its newest release. With `--verdict`, only the
    name in the reference counts: a verdict that led to no release has a report as well.

    Exit codes: 0 done; 1 the page cannot be written; 2 an argument is wrong; 4 there is no such release,
    verdict or report; 5 the store does not answer; 6 bytes do not match their digest.

    For example:

        enginery report demo
        enginery report demo:nightly --variant cpu-int8 --to report.html
        enginery report demo --verdict 20261128T181011123456Z-0a1b2c3d
    """
    settings = load_settings()
    store = open_local_or_configured_store(settings)
    if verdict is None:
        chosen = released_entries(store, reference, variant, "report")
    else:
        chosen = [kept_entry(store, reference, verdict, "report")]
    if to is not None and len(chosen) > 1:
        names = ", ".join(each.name for each in chosen)
        raise BadArgument(
            f"{len(chosen)} reports cannot be written to one file", fix=f"add --variant, one of: {names}"
        )
    pages = {each.name: _fetch_report(store, each, settings.home / "reports") for each in chosen}
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(next(iter(pages.values())), to)
        pages = {chosen[0].name: to}
    if json:
        emit_json({name: str(page) for name, page in pages.items()})
    else:
        for page in pages.values():
            emit(str(page))


def released_entries(
    store: "Store", reference: str, variant: str | None, has: Attached
) -> "list[VariantRelease]":
    """Return the variants of a release that have a report, or evidence; only the named one if one is named.

    Raises:
        NotFound: there is no such release, or none of these has it.
    """
    release = named_release(store, reference)
    chosen = [one for one in release.variants if variant in {None, one.name} and getattr(one, has)]
    if not chosen:
        raise NotFound(
            f"{release.name}@{release.version} has no {has} on {variant or 'any variant'}",
            where=f"variants: {', '.join(one.name for one in release.variants)}",
            fix="name another of these, or none to get all" if variant else "",
        )
    return chosen


def kept_entry(store: "Store", reference: str, verdict: str, has: Attached) -> "VariantRelease":
    """Return what a kept verdict on a name says; raise NotFound unless it has a report, or evidence."""
    from artifacts.releases import parse_reference, verdicts_on

    name = parse_reference(reference).name
    found = (one.entry for one in verdicts_on(store, name) if one.id == verdict)
    entry = next((one for one in found if getattr(one, has)), None)
    if entry is None:
        raise NotFound(
            f"there is no verdict {verdict} on {name} that has {'a report' if has == 'report' else has}",
            where=str(store.bucket),
            fix=f"enginery history {name} shows the ids",
        )
    return entry


def require_name(text: str) -> None:
    """Raise BadReference if a text is not a name, but for example a whole reference."""
    from artifacts.releases import parse_reference

    name = parse_reference(text).name
    if name != text:
        fix = f"write {name}; `enginery show {text}` takes the whole reference"
        raise BadReference(f"{text!r} is a reference, not a name", fix=fix)


def _names(store: "Store", name: str | None) -> tuple[str, ...]:
    """Return all names that have releases, or only the given one; raise NotFound if it has none."""
    from artifacts.releases import list_names

    if name is None:
        return list_names(store)
    require_name(name)
    require_known(store, name)
    return (name,)


def require_known(store: "Store", name: str) -> None:
    """Raise NotFound, with the names that exist, unless there is a release of this name."""
    from artifacts.releases import list_names

    names = list_names(store)
    if name not in names:
        raise NotFound(
            f"there is no release of {name!r}",
            where=f"{store.bucket}; names there: {', '.join(names) or 'none at all'}",
            fix="enginery list",
        )


def _raise_for(damaged: Sequence[IntegrityError]) -> None:
    if damaged:
        problems = "\n    ".join(f"{error.where}: {error.what}" for error in damaged)
        count = "1 record is" if len(damaged) == 1 else f"{len(damaged)} records are"
        raise IntegrityError(f"{count} damaged", where=problems, fix=damaged[0].fix)


def _channels(store: "Store", release: "Release") -> list[str]:
    from artifacts.releases import list_channels

    return [each.channel for each in list_channels(store, release.name) if each.version == release.version]


def _engines(store: "Store", release: "Release") -> "dict[str, EngineManifest]":
    """Return the manifest of each engine tree of a release, by the name of its variant."""
    from artifacts.hosts import ENGINE_FILE, EngineManifest

    compiled = {v.name: v.tree for v in release.variants if v.verdict == "compile" and v.tree}
    return {name: store.read_document(tree, ENGINE_FILE, EngineManifest) for name, tree in compiled.items()}


def _fetch_report(store: "Store", variant: "VariantRelease", root: Path) -> Path:
    """Return the page of a report below `root`; fetch it unless it is already there and intact."""
    from artifacts.store import verify

    report = str(variant.report)
    directory = root / report
    store.get_entry(report, REPORT_PAGE)
    try:
        verify(directory, store.get_listing(report))
    except (NotFound, IntegrityError):
        say(f"fetching the report of {variant.name}")
        shutil.rmtree(directory, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        store.materialize(report, directory)
    return directory / REPORT_PAGE
