"""The page of a run whose server is gone."""

from uuid import uuid4

import httpx
import pytest

from flows.prefect_run import page


@pytest.fixture
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(*_: object, **__: object) -> None:
        raise httpx.ConnectError("Connection refused")

    monkeypatch.setattr(page, "_begin_progress", lambda _total: uuid4())
    monkeypatch.setattr(page, "update_progress_artifact", update)


@pytest.mark.usefixtures("_no_server")
def test_what_ended_a_run_is_not_hidden_by_a_server_that_is_gone() -> None:
    with pytest.raises(ValueError, match="what ended it"), page.Progress(3):
        raise ValueError("what ended it")


@pytest.mark.usefixtures("_no_server")
def test_a_server_that_is_gone_ends_a_run_that_is_done() -> None:
    with pytest.raises(httpx.ConnectError), page.Progress(3):
        pass
