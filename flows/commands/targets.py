"""`enginery targets list`."""

from typing import Annotated

from cyclopts import App, Parameter

from artifacts.compat import probe_host
from engine_specs.targets import Target, load_targets
from flows.commands.console import emit_json, emit_table

app = App(name="targets", help="The targets that engines are built for: list.", help_format="plaintext")


@app.command(name="list")
def list_all(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False
) -> None:
    """List the targets, and whether this host is one of them."""
    targets = load_targets().values()
    if json:
        emit_json(
            [{**target.model_dump(mode="json"), "this_host": _lacks(target) == ""} for target in targets]
        )
        return
    rows = [
        (target.name, target.description, target.work_pool, _lacks(target) or "yes") for target in targets
    ]
    emit_table(("target", "hosts", "work pool", "this host"), rows, empty="there are no targets")


def _lacks(target: Target) -> str:
    """What keeps this host from being such a target; empty if nothing does."""
    facts = probe_host()
    if facts.machine != target.machine:
        return f"no: {facts.machine}"
    missing = sorted(set(target.cpu_features) - set(facts.cpu_features))
    return f"no: lacks {', '.join(missing)}" if missing else ""
