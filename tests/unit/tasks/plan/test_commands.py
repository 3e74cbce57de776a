"""The commands of plans: kept as files for every kind, without anything of this host, and read by a shell."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from support.plans import golden
from support.plans.planning import IDENTITY, installed
from support.programs.cli import run_here
from support.standin.interface_tables import broken, broken_group, table

from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.spec import Spec, list_specs, load_spec, read_spec, resolve_variants
from engine_specs.tables import load_kinds
from flows.cli.commands.build import build as build_command
from flows.errors import BadArgument
from flows.text.commands import transcript
from flows.text.shell import PLACEHOLDER, shell_command
from tasks import toolchains
from tasks.hub import HubAccess
from tasks.plan import Command, SpecPlan, StageWork, placeholders, plan_spec
from tasks.plan.commands import stage_work
from tasks.runs import Pipeline
from tasks.stages import Inputs, SpecGraph
from tasks.stages.build import build_job
from tasks.stages.quantize import quantize_job
from tasks.toolchains import Toolchain, declared
from tasks.toolchains.providers.image.commands import Client, Container, User
from tasks.toolchains.providers.image.launcher import ContainerLauncher
from tasks.workers.common.records import as_json

LLAMA = "llama-3.1-8b-instruct"
INTERFACES = (
    "trtllm-build-1.2",
    "trtllm-serve-1.2",
    "trtllm-serve-1.4",
    "trtllm-bench-1.2",
    "trtllm-bench-1.4",
)
IMAGE = f"example/tensorrt-llm@sha256:{'a' * 64}"
NO_SERVICE = "http://127.0.0.1:9"
Stages = dict[str, StageWork]
SpecPlanner = Callable[[Spec], SpecPlan]


@pytest.fixture
def away(settings: Settings, tmp_path: Path) -> SpecPlanner:
    """Plans with commands where neither Hub nor store answers."""

    def plan(spec: Spec) -> SpecPlan:
        access = HubAccess(endpoint=NO_SERVICE, cache_dir=tmp_path / "hf", timeout_s=2.0)
        pipeline = Pipeline(settings, open_store(settings), say=lambda _line: None)
        return plan_spec(pipeline, spec, access, resolve_variants(spec), commands=True)

    return plan


def stage(plan: Stages, name: str) -> StageWork:
    return next(one for title, one in plan.items() if title.startswith(f"{name} "))


def tool(plan: Stages) -> Command:
    """The command of the kind's own tool."""
    (command,) = [one for one in stage(plan, "build").commands if one.run_by == "worker"]
    return command


def flags(command: Command) -> dict[str, str]:
    return {a: b for a, b in zip(command.argv, command.argv[1:], strict=False) if a.startswith("--")}


@pytest.mark.parametrize("case", golden.CASES)
def test_commands_are_those_that_were_read_and_kept(case: str) -> None:
    assert golden.text(case) == golden.path(case).read_text(encoding="utf-8"), (
        "read the difference, then: PYTHONPATH=tests .venv/bin/python -m support.plans.golden"
    )


@pytest.mark.parametrize("case", golden.CASES)
def test_a_plan_is_read_back_from_its_file(case: str) -> None:
    text = golden.path(case).read_text(encoding="utf-8")
    assert golden.RECORDS.validate_json(text) == golden.plan(case)


@pytest.mark.parametrize("case", golden.CASES)
def test_nothing_of_this_host_is_in_a_plan(case: str) -> None:
    text = golden.text(case)
    for own in (Path.cwd(), Path.home(), os.uname().nodename):
        assert f'"{own}' not in text


@pytest.mark.parametrize("case", golden.CASES)
def test_every_placeholder_is_explained(case: str) -> None:
    plan = golden.plan(case)
    explained = [re.sub(r":[A-Z]+", r":[^<>]+", re.escape(name)) for name in placeholders.MEANINGS]
    found = {
        placeholder
        for one in plan.values()
        for command in one.commands
        for part in (*command.argv, *command.env.values(), json.dumps(command.request))
        for placeholder in PLACEHOLDER.findall(part)
    }
    assert found
    assert {one for one in found if not any(re.fullmatch(shape, one) for shape in explained)} == set()
    commands = [command for one in plan.values() for command in one.commands]
    assert not any("{" in part for command in commands for part in command.argv)


@pytest.mark.parametrize("name", [path.stem for path in list_specs()])
def test_every_command_of_tensorrt_llm_is_one_that_its_programs_take(name: str) -> None:
    spec = load_spec(name)
    plan = golden.stages(spec)
    programs = {f"<toolchain:tensorrt-llm-{one[-3:]}>/bin/{one[:-4]}": table(one) for one in INTERFACES}
    checked = []
    for command in (one for each in plan.values() for one in each.commands if one.argv[0] in programs):
        argv = [part.replace("<port>", "8000") for part in command.argv[1:]]
        interface = programs[command.argv[0]]
        refused = broken_group if "commands" in interface else broken
        assert refused(interface, argv) == [], command.argv
        checked.append(command.what)
    servers = [
        load_kinds()[one.engine.kind].toolchains.serve[one.target.accelerator]
        for one in resolve_variants(spec)
    ]
    theirs = [name for name in servers if name.startswith("tensorrt-llm-")]
    assert len(checked) == 3 * len(theirs), "each is built (or warmed up), served, and asked again"


def test_two_gpus_build_and_serve_two_ranks_in_fp8() -> None:
    plan = golden.plan("trt-plan-fp8-two-h100")
    assert stage(plan, "quantize").params["export"]["tensor_parallel"] == 2
    built = flags(tool(plan))
    assert built["--checkpoint_dir"] == "<tree:quantized-h100-tp2>"
    assert (built["--use_fp8_context_fmha"], built["--nccl_plugin"]) == ("enable", "auto")
    (server,) = [one for one in stage(plan, "measure").commands if one.what == "server of engine"]
    assert flags(server)["--extra_llm_api_options"].endswith("/llm_args.yaml")
    said = stage(plan, "build").params["llm_args"]
    assert (said["tensor_parallel_size"], said["pipeline_parallel_size"]) == (2, 1)
    assert server.env["CUDA_VISIBLE_DEVICES"] == "<gpus:2>"
    assert stage(plan, "build").gpus == 2


def test_stages_come_in_their_order_and_each_input_is_made_before() -> None:
    plan = golden.plan("trtllm-torch-nvfp4-b200")
    assert list(plan) == [
        "fetch checkpoint",
        "fetch heldout",
        "baseline b200",
        "fetch calibration-b200",
        "quantize b200",
        "build b200",
        "measure b200",
        "judge b200",
        "publish",
    ]
    made: list[str | None] = []
    for one in plan.values():
        assert set(one.inputs.values()) <= set(made)
        made.append(one.output)


def test_an_installed_toolchain_has_its_identity_in_the_request() -> None:
    graph = SpecGraph(spec := load_spec("demo"), resolve_variants(spec))
    request = stage_work(graph.variants[0].build, installed, None).commands[0].request
    assert request is not None
    assert set(request["params"]["toolchains"].values()) == {IDENTITY}


def in_image(name: str) -> Toolchain:
    """The toolchain of a host whose podman serves it from an image."""
    client = Client(path=Path("/opt/of/this/host/podman"), dialect="podman")
    container = Container(client=client, image=IMAGE, user=User(uid=7, gid=7), home=Path("/home/of/host"))
    inside = {"python": Path("/usr/bin/python3"), "bin_dir": Path("/usr/bin")}
    launcher = ContainerLauncher(container=container.model_copy(update={"search_path": "/usr/bin"}))
    return installed(name).model_copy(update=inside | {"launcher": launcher})


def test_the_container_of_a_toolchain_in_an_image_is_shown_without_anything_of_the_host() -> None:
    spec = load_spec(LLAMA)
    graph = SpecGraph(spec, tuple(one for one in resolve_variants(spec) if one.name == "h100-tp2"))
    (nodes,) = graph.variants
    worker, tool = stage_work(nodes.build, in_image, None).commands
    server, *_references = stage_work(nodes.measure, in_image, None).commands
    name = "tensorrt-llm-1.2"
    assert worker.argv[:2] == ("podman", "run")
    assert worker.argv[-6:] == (
        *(IMAGE, "-P", "-m", "tasks.workers.trt_plan.build"),
        *("<scratch>/request.json", "<scratch>/response.json"),
    )
    assert mounts(worker) == [
        f"type=bind,source=<toolchain:{name}>,target=<toolchain:{name}>",
        "type=bind,source=<scratch>,target=<scratch>",
        "type=bind,source=<output>,target=<output>",
        "type=bind,source=<worker-sources>,target=<worker-sources>,readonly",
        "type=bind,source=<tree:quantized-h100-tp2>,target=<tree:quantized-h100-tp2>,readonly",
    ]
    devices = [value for flag, value in pairwise(worker.argv) if flag == "--device"]
    assert devices == ["nvidia.com/gpu=<gpu-uuid:1>", "nvidia.com/gpu=<gpu-uuid:2>"]
    assert (tool.argv[0], worker.env["USER"]) == ("/usr/bin/trtllm-build", "<user>")
    assert ("--network", "host") in set(pairwise(server.argv))
    shown = json.dumps([one.model_dump() for one in (worker, tool, server)])
    assert "of/this/host" not in shown
    assert "/home/of/host" not in shown
    assert {"<container>", "<user>", "<gpu-uuid:N>"} <= placeholders.MEANINGS.keys()


def mounts(command: Command) -> list[str]:
    return [value for flag, value in pairwise(command.argv) if flag == "--mount"]


def test_a_worker_is_asked_for_what_the_stages_ask_for() -> None:
    spec = load_spec(LLAMA)
    for variant in resolve_variants(spec):
        plan = golden.stages(spec, variant.name)
        identities = dict.fromkeys(declared(), "e" * 64)
        config = {"architectures": ["LlamaForCausalLM"]}
        inputs = Inputs({"checkpoint": "c" * 64, "calibration": "d" * 64}, identities, config=config)
        work = quantize_job(spec.name, variant, inputs, Path())
        job = build_job(spec.name, variant, Inputs({"checkpoint": "c" * 64}, identities))
        for name, real in (("quantize", work), ("build", job)):
            request = stage(plan, name).commands[0].request
            assert request is not None
            assert request["params"] | {"toolchains": {}} == as_json(real.params) | {"toolchains": {}}
            assert request["admission"] == as_json(real.admission)
            assert request["inputs"].keys() == real.inputs.keys()


@pytest.mark.parametrize("name", [path.stem for path in list_specs()])
def test_a_shell_reads_the_transcript(name: str, away: SpecPlanner) -> None:
    plan = away(load_spec(name))
    script = PLACEHOLDER.sub("placeholder", "\n".join(transcript(plan)))
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.count("### ") == len(plan.stages)


@given(
    st.lists(st.text(min_size=1), min_size=1),
    st.dictionaries(st.from_regex(r"[A-Z]+", fullmatch=True), st.text()),
)
def test_a_command_survives_the_shell(argv: list[str], env: dict[str, str]) -> None:
    words = shlex.split(shell_command(["program", *argv], env, clean=True).replace(" \\\n    ", " "))
    head = ["env", "-i", *(f"{name}={value}" for name, value in env.items())] if env else []
    assert words == [*head, "program", *argv]


def refused_spec() -> str:
    from engine_specs.reading import PACKAGE

    return (PACKAGE / f"{LLAMA}.yaml").read_text().replace("max_batch_size: 64", "max_batch_size: 4096")


def test_a_spec_that_cannot_work_is_planned_with_all_that_is_wrong(away: SpecPlanner) -> None:
    spec: Spec = read_spec(refused_spec(), Path("refused.yaml"))
    plan = away(spec)
    assert plan.refused
    (h100,) = [one for one in plan.variants if one.asked.name == "h100"]
    assert any("variants.h100.target" in str(problem) for problem in h100.problems)
    assert any(line.startswith("#     refused: variants.h100") for line in transcript(plan))


def test_a_plan_explains_its_placeholders_and_names_the_variables_of_tools(
    settings: Settings, tmp_path: Path
) -> None:
    spec, given = load_spec("demo"), settings.model_copy(update={"tool_env": {"NCCL_DEBUG": "INFO"}})
    access = HubAccess(endpoint=NO_SERVICE, cache_dir=tmp_path / "hf", timeout_s=2.0)
    pipeline = Pipeline(given, open_store(given), say=lambda _line: None)
    plan = plan_spec(pipeline, spec, access, resolve_variants(spec), commands=True)
    assert plan.placeholders == placeholders.MEANINGS
    assert "NCCL_DEBUG" in plan.passed_variables
    assert any("NCCL_DEBUG" in line for line in transcript(plan))
    assert plan_spec(pipeline, spec, access, resolve_variants(spec)).placeholders == {}


def test_dry_run_and_plan_with_commands_are_the_same_without_any_service(settings: Settings) -> None:
    env = {"HF_ENDPOINT": NO_SERVICE, "PREFECT_API_URL": NO_SERVICE}
    planned = run_here("plan", "demo", "--commands", "--json", env=env)
    dry = run_here("build", "demo", "--dry-run", "--json", env=env)
    assert (planned.returncode, dry.returncode) == (0, 0), dry.stderr
    assert dry.stdout == planned.stdout
    ((plan),) = TypeAdapter(tuple[SpecPlan, ...]).validate_json(dry.stdout)
    assert plan.spec == "demo"
    assert plan.stages[-1].work is not None


def test_the_command_exits_2_where_preflight_refuses(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NO_SERVICE)
    monkeypatch.setattr(toolchains, "status", lambda name, **_settings: golden.absent(name))
    path = tmp_path / f"{LLAMA}.yaml"
    path.write_text(refused_spec())
    assert build_command(str(path), variant="h100", dry_run=True) == 2
    printed = capsys.readouterr().out
    assert "#     refused: variants.h100" in printed
    assert "trtllm-build" in printed


def test_an_unknown_variant_is_reported_with_those_there_are(settings: Settings) -> None:
    with pytest.raises(BadArgument, match="no variant 'h1000'") as caught:
        build_command(LLAMA, variant="h1000", dry_run=True)
    assert caught.value.exit_code == 2
    assert "h100, h100-tp2" in caught.value.fix
