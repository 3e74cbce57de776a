"""A rehearsal as lines and tables. Pure."""

from collections.abc import Iterator

from tasks.stages.rehearsal import Rehearsal

SIDES = ("side", "tokens/s per device", "served by", "tree")
RATIOS = ("ratio of", "to", "estimate and bounds")


def side_rows(found: Rehearsal) -> list[tuple[str, ...]]:
    """Return one row per side, with the columns of `SIDES`."""
    return [
        (one.name, one.speed.text("{:.0f}"), f"{one.toolchain}: {one.version}", one.tree[:12])
        for one in found.sides
    ]


def ratio_rows(found: Rehearsal) -> list[tuple[str, ...]]:
    """Return one row per ratio, with the columns of `RATIOS`."""
    return [(one.side, one.to, one.ratio.text()) for one in found.ratios]


def rehearsal_lines(found: Rehearsal) -> Iterator[str]:
    """Yield what was compared, where and how often."""
    again = f", {found.made_again} made again" if found.made_again else ""
    quiet = "" if found.quiet_host == "require" else "; the host was not required to be quiet"
    yield (
        f"{found.spec}, {found.variant}: toolchain {found.toolchain}, {found.now} -> {found.rehearsed}; "
        f"the released engine is that of {found.release}"
    )
    yield (
        f"{found.cycles} cycles{again}, {found.concurrency} in flight, {found.placement.name}, on "
        f"{', '.join(found.host.gpus) or found.host.cpu_model}{quiet}"
    )
    yield from found.notes
