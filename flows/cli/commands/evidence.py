"""`enginery history`, `recompute`, `rehearse`: what verdicts rest on, and what changes speeds."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from artifacts.settings import load_settings
from flows.cli.commands.releases import Json, Ref, kept_entry, released_entries, require_known, require_name
from flows.cli.console import emit, emit_json, emit_table, say
from flows.cli.context import open_local_or_configured_store, require_pipeline
from flows.errors import BadArgument

if TYPE_CHECKING:
    from artifacts.releases import VariantRelease
    from artifacts.store import Store
    from tasks.evidence import Recomputed

OTHER_JUDGE = 3
CHANGED = 6


def history(name: Annotated[str, Parameter(help="Name of the spec.")], /, *, json: Json = False) -> None:
    """Show every verdict on a spec with both sides' speeds, what changed in between, and moves of channels.

    A verdict that was reached again from the same measurements is shown once. Each is compared with the last
    release before it that has an engine: whether the engine became faster or slower, or the reference. Speeds
    are compared only within one class of host, on one workload; otherwise it says why not.

    Exit codes: 0 done; 2 the name is invalid; 4 nothing of that name was ever judged; 5 the store does not
    answer; 6 a record is damaged.

    For example:

        enginery history demo
        enginery history demo --json
    """
    require_pipeline()
    from artifacts.releases import list_channels
    from flows.text.history import HEADERS, UNIT, drift_lines, history_rows
    from tasks.evidence import history_of

    store = open_local_or_configured_store(load_settings())
    require_name(name)
    channels, entries = list_channels(store, name), history_of(store, name)
    if not channels and not entries:
        require_known(store, name)
    if json:
        emit_json({"verdicts": [entry.model_dump(mode="json") for entry in entries], "channels": channels})
        return
    emit_table(
        HEADERS, history_rows(entries), empty=f"no variant of {name} has been judged", wraps="served by"
    )
    if entries:
        say(UNIT)
    for line in drift_lines(entries):
        emit(line)
    rows = [
        (channel.channel, f"{move.at:%Y-%m-%d %H:%M:%S}", move.version, move.reason)
        for channel in channels
        for move in channel.history
    ]
    empty = f"no channel of {name} has been moved yet"
    emit_table(("channel", "moved", "to", "why"), rows, empty=empty, wraps="why")


def recompute(
    reference: Ref,
    /,
    *,
    variant: Annotated[str | None, Parameter(help="Judge only this variant again.")] = None,
    verdict: Annotated[
        str | None,
        Parameter(help="Judge this kept verdict again, published or not: an id that `history` shows."),
    ] = None,
    json: Json = False,
) -> int:
    """Judge the evidence of a release again, and say whether everything comes out the same, to the digit.

    Fetches every sample that the verdicts rest on, and judges them with the functions that judge. Each
    interval, figure, outcome and verdict is compared with what was kept, and the release with its evidence.
    If something differs, it says where, and whether another version of the judge may explain it. With
    `--verdict`, only the name in the reference counts.

    Exit codes: 0 everything is the same; 2 an argument is wrong; 3 another version of the judge judged, and
    this one makes something else of the same samples; 4 there is no such release, verdict or evidence; 5 the
    store does not answer; 6 evidence or release was changed, or bytes do not match their digest.

    For example:

        enginery recompute demo
        enginery recompute demo@0.1.0 --variant cpu-int8
        enginery recompute demo --verdict 20261128T181011123456Z-0a1b2c3d
    """
    require_pipeline()
    from flows.text.recomputation import recomputed_lines

    store = open_local_or_configured_store(load_settings())
    if verdict is None:
        entries = released_entries(store, reference, variant, "evidence")
    else:
        entries = [kept_entry(store, reference, verdict, "evidence")]
    found = [_recomputed(store, entry) for entry in entries]
    if json:
        emit_json([one.model_dump(mode="json") | {"said": one.said} for one in found])
    else:
        for line in (line for one in found for line in recomputed_lines(one)):
            emit(line)
    said = {one.said for one in found}
    if "changed" in said:
        return CHANGED
    return OTHER_JUDGE if "other-judge" in said else 0


def _recomputed(store: "Store", entry: "VariantRelease") -> "Recomputed":
    from tasks.evidence import read_evidence, read_speed
    from tasks.evidence import recompute as judge_again

    tree = str(entry.evidence)
    say(f"judging {entry.name} again, by evidence {tree[:12]}")
    return judge_again(entry, read_evidence(store, tree), read_speed(store, tree))


def rehearse(
    spec: Annotated[str, Parameter(help="Name or path of a spec.")],
    /,
    *,
    toolchain: Annotated[
        str,
        Parameter(
            help="The toolchain and its other version: NAME=PYTHON, NAME=LOCK.txt, or NAME=VERSION of what "
            "is adopted, or of the shipped lock."
        ),
    ],
    variant: Annotated[str | None, Parameter(help="The variant; needed if this host builds several.")] = None,
    json: Json = False,
) -> None:
    """Measure what another version of a toolchain would change, before it is adopted; publish nothing.

    Builds the engine with the other version, and serves it next to the engine of the last release, and vLLM
    with the version that this host uses next to vLLM with the other one, as far as they differ. All of them
    are asked in the same cycles of rounds, within the time budget of the spec. Ratios between them have
    bounds that hold together. Answers are not judged, no verdict is kept, no setting is changed.

    Exit codes: 0 done; 1 a stage failed, or others kept the host busy; 2 an argument is wrong, or this
    version changes nothing; 4 no release deploys an engine of this variant, or this host cannot have the
    toolchain or the variant; 5 the Hub or the store does not answer; 6 bytes do not match their digest.

    For example:

        enginery rehearse demo --toolchain vllm-cpu=/opt/vllm-next/bin/python
        enginery rehearse demo --toolchain aot-cpu=./aot-cpu-next.txt
        enginery rehearse qwen3-8b --toolchain vllm-cuda=0.33.0
    """
    require_pipeline()
    from artifacts.hosts import probe_host
    from engine_specs.spec import load_spec
    from flows.selection import variants_here
    from flows.text.rehearsal import RATIOS, SIDES, ratio_rows, rehearsal_lines, side_rows
    from tasks.hub import HubAccess
    from tasks.runs import Pipeline
    from tasks.stages.rehearsal import rehearse as measure
    from tasks.stages.rehearsal import upgrade_of

    settings = load_settings()
    loaded = load_spec(spec, settings.specs_dir)
    here = variants_here(loaded, variant, probe_host()).here
    if len(here) > 1:
        names = ", ".join(one.name for one in here)
        raise BadArgument(f"this host builds {len(here)} variants", fix=f"add --variant, one of: {names}")
    upgrade = upgrade_of(toolchain, settings)
    pipeline = Pipeline(settings, open_local_or_configured_store(settings), say=say)
    found = measure(pipeline, loaded, here[0], upgrade, HubAccess.from_environment())
    if json:
        emit_json(found)
        return
    for line in rehearsal_lines(found):
        emit(line)
    emit_table(SIDES, side_rows(found), empty="")
    emit_table(RATIOS, ratio_rows(found), empty="")
