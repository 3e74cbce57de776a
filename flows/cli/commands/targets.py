"""`enginery targets list`."""

from typing import Annotated

from cyclopts import App, Parameter

from artifacts.hosts import HostFacts, Refused, fits, probe_host
from engine_specs.tables import Target, load_targets
from flows.cli.console import emit_json, emit_table
from tasks.hosts import host_requirements

app = App(name="targets", help="The targets that engines are built for: list.", help_format="markdown")

# Formats whose throughput decides which recipe pays on a GPU.
RATED_FORMATS = ("bf16", "fp8", "int8", "fp4")
RATES = tuple(f"{name} TFLOP/s" for name in RATED_FORMATS)
HEADERS = ("target", "capability", "memory", "bandwidth", "link", *RATES, "work pool", "this host")


@app.command(name="list")
def list_all(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False
) -> None:
    """List the targets, and whether this host is one of them.

    Figures are per device, without sparsity.

    Exit codes: 0 done.

    For example:

        enginery targets list
        enginery targets list --json
    """
    facts, targets = probe_host(), load_targets().values()
    if json:
        emit_json(
            [{**target.model_dump(mode="json"), "this_host": not _lacks(target, facts)} for target in targets]
        )
        return
    emit_table(
        HEADERS, [_row(target, facts) for target in targets], empty="there are no targets", wraps="this host"
    )


def _row(target: Target, facts: HostFacts) -> tuple[str, ...]:
    rates = {row.format: row.dense_flops_per_s for row in target.gpu.throughput} if target.gpu else {}
    link = target.gpu.link if target.gpu else None
    memory_bytes, bytes_per_s = target.memory_bytes, target.memory_bandwidth_bytes_per_s
    lacks = _lacks(target, facts)
    return (
        target.name,
        target.compute_capability or "-",
        f"{memory_bytes / 1e9:.1f} GB" if memory_bytes else "-",
        f"{bytes_per_s / 1e9:.0f} GB/s" if bytes_per_s else "-",
        f"{link.name}, {link.bytes_per_s / 1e9:.0f} GB/s" if link else "-",
        *(f"{rates[name] / 1e12:.0f}" if name in rates else "-" for name in RATED_FORMATS),
        target.work_pool,
        f"no: {lacks}" if lacks else "yes",
    )


def _lacks(target: Target, facts: HostFacts) -> str:
    """Return what keeps a host from being such a target, in a few words; empty if nothing does."""
    if not isinstance(fits(host_requirements(target), facts), Refused):
        return ""
    if facts.machine != target.machine:
        return facts.machine
    missing = sorted(set(target.cpu_features) - set(facts.cpu_features))
    return f"lacks {', '.join(missing)}" if missing else "no such GPU"
