"""`enginery report --verdict`: the report of a verdict, whether or not a release followed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs.cli import run_here
from support.stores.releases import NOTHING, variant

from artifacts.releases import KeptVerdict, VerdictKey, keep_verdict
from artifacts.store import Store
from flows.cli.commands.releases import REPORT_PAGE

KEY = VerdictKey(name="demo", version="1.4", commit="0" * 40, variant="cpu-int8", basis=NOTHING)


def judged(store: Store, page: Path | None) -> KeptVerdict:
    """Keep a verdict that led to no release, with a report if there is a page."""
    report = None
    if page is not None:
        page.parent.mkdir()
        page.write_text("<p>rejected</p>")
        report = store.put_tree(page.parent).digest
    entry = variant("cpu-int8", verdict="rejected", report=report)
    return keep_verdict(store, KEY, entry, "x86_64 without GPUs")


@pytest.fixture
def rejected(store: Store, tmp_path: Path) -> KeptVerdict:
    return judged(store, tmp_path / "report" / REPORT_PAGE)


def test_the_report_of_a_verdict_without_release_is_fetched_by_its_id(
    rejected: KeptVerdict, tmp_path: Path
) -> None:
    assert run_here("report", "demo").returncode == 4, "nothing was published"
    done = run_here("report", "demo", "--verdict", rejected.id)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_text() == "<p>rejected</p>"
    page = tmp_path / "page.html"
    copied = run_here("report", "demo", "--verdict", rejected.id, "--to", str(page), "--json")
    assert json.loads(copied.stdout) == {"cpu-int8": str(page)}
    assert page.read_text() == "<p>rejected</p>"


@pytest.mark.parametrize("command", ["report", "recompute"])
def test_an_unknown_id_is_answered_with_where_the_ids_are(rejected: KeptVerdict, command: str) -> None:
    done = run_here(command, "demo", "--verdict", rejected.id[:-1] + "x")
    assert done.returncode == 4
    assert "fix: enginery history demo shows the ids" in done.stderr


def test_a_verdict_without_report_or_evidence_is_said_to_have_none(store: Store) -> None:
    bare = judged(store, None)
    assert (
        f"no verdict {bare.id} on demo that has a report"
        in run_here("report", "demo", "--verdict", bare.id).stderr
    )
    assert (
        f"no verdict {bare.id} on demo that has evidence"
        in run_here("recompute", "demo", "--verdict", bare.id).stderr
    )


def test_a_host_with_the_light_install_fetches_it(rejected: KeptVerdict) -> None:
    probe = (
        "import sys; sys.modules.update(dict.fromkeys(['prefect', 'huggingface_hub', 'scipy', 'aiohttp', "
        "'jinja2']));"
        f"from flows.cli.main import run; sys.exit(run(['report', 'demo', '--verdict', '{rejected.id}']))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == REPORT_PAGE
