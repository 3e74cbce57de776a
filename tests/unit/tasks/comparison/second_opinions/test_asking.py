"""A tool that fails costs its opinion, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest
from support.judging.tasks import asking, choosing
from support.stores.directory_bucket import DirectoryBucket

from artifacts.errors import EngineryError, StoreUnreachable
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from tasks.comparison.second_opinions import ask_lm_eval
from tasks.comparison.second_opinions.tool_worker import opinion_or_reason
from tasks.errors import (
    GpusUnavailable,
    ServerNotReady,
    ToolchainUnavailable,
    WorkerCancelled,
    WorkerFailed,
    WorkerOutOfMemory,
    WorkerRefused,
)
from tasks.judging import NoOpinion, Placement
from tasks.runs import Pipeline

FAILURES = [
    GpusUnavailable("no GPU is free"),
    StoreUnreachable("the store is silent"),
    ToolchainUnavailable("there is no such program"),
    WorkerFailed("it died"),
    WorkerOutOfMemory("it ran out of memory"),
    WorkerRefused("it refused"),
    OSError(28, "No space left on device"),
]


def raising(error: Exception, log: Path | None = None) -> Callable[[], str]:
    """What asks the tool, which writes its log, then fails."""

    def ask() -> str:
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write("a line\n")
        raise error

    return ask


def test_an_opinion_is_returned(tmp_path: Path) -> None:
    assert opinion_or_reason(lambda: "fast", tmp_path / "a.log") == "fast"


@pytest.mark.parametrize("error", FAILURES, ids=lambda one: type(one).__name__)
def test_every_failure_is_a_reason_that_names_the_log(tmp_path: Path, error: Exception) -> None:
    log = tmp_path / "a.log"
    found = opinion_or_reason(raising(error, log), log)
    assert isinstance(found, NoOpinion)
    assert (error.what if isinstance(error, EngineryError) else str(error)) in found.reason
    assert found.text().endswith("(its log: logs/a.log)")


def test_the_log_of_an_earlier_run_is_not_named(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("a line of an earlier run")
    found = opinion_or_reason(raising(WorkerFailed("it died")), log)
    assert found == NoOpinion(reason="it died")


def test_a_reason_that_is_returned_names_the_log_as_well(tmp_path: Path) -> None:
    log = tmp_path / "a.log"

    def ask() -> NoOpinion:
        log.write_text("a line")
        return NoOpinion(reason="no report")

    assert opinion_or_reason(ask, log) == NoOpinion(reason="no report", log="a.log")


def test_who_cancels_the_run_ends_it(tmp_path: Path) -> None:
    with pytest.raises(WorkerCancelled):
        opinion_or_reason(raising(WorkerCancelled("stopped")), tmp_path / "a.log")


class Dead:
    """A placement whose sides do not start."""

    def serving(self, _sides: object) -> Never:
        """Fail to start any."""
        raise ServerNotReady("the server ended before it was ready")


def test_lm_eval_is_not_asked_about_a_side_that_does_not_start(settings: Settings, tmp_path: Path) -> None:
    said: list[str] = []
    store = Store(DirectoryBucket(tmp_path), BlobCache(settings.cache_dir))
    asked = asking(choosing(second_opinion=True))
    placement: Placement = Dead()  # type: ignore[assignment]
    pipeline = Pipeline(settings, store, say=said.append)
    found = ask_lm_eval(pipeline, asked, {}, b"{}", "a-test", placement, asked.engine)
    assert found == NoOpinion(reason="the server ended before it was ready")
    assert said[-1].endswith("none (the server ended before it was ready); it decides nothing")
