"""What judging kept evidence again has shown, as lines. Pure."""

from collections.abc import Iterator

from tasks.evidence import Recomputed

SHOWN = 12


def recomputed_lines(found: Recomputed) -> Iterator[str]:
    """Yield the outcome for one variant, with the first differences."""
    head = f"{found.variant}: {found.verdict}"
    again = "the same judge" if found.judged_by.is_the_same(found.this) else "another version of the judge"
    if found.said == "same":
        yield f"{head}; {found.compared} numbers and words are the same to the digit, by {again}"
    elif found.said == "changed":
        yield f"{head}; evidence or release was changed after it was judged"
    else:
        yield f"{head}; another version of the judge judged, and this one makes something else of it"
    if not found.judged_by.is_the_same(found.this):
        yield f"  judged by  {found.judged_by.text()}"
        yield f"  this one   {found.this.text()}"
    differences = (*found.changed, *found.differing)
    yield from (f"  {one}" for one in differences[:SHOWN])
    if len(differences) > SHOWN:
        yield f"  and {len(differences) - SHOWN} more (--json lists all)"
