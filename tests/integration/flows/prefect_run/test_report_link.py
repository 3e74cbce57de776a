"""The link to a report opens in a browser that knows nothing of the store's keys."""

import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from artifacts.store import Store
from flows.prefect_run.page import REPORT_PAGE, report_link

PAGE = "<!doctype html><title>report</title><p>größer</p>"
WEEK_S = 7 * 24 * 3600


@pytest.fixture
def link(store: Store, tmp_path: Path) -> str:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / REPORT_PAGE).write_text(PAGE)
    return report_link(store, store.put_tree(tmp_path / "report").digest)


def test_the_link_gives_the_page_to_who_has_no_credentials(link: str) -> None:
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.read().decode() == PAGE


def test_the_link_opens_that_page_alone_and_for_a_week(link: str) -> None:
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == [str(WEEK_S)]
    other = link.replace(urlsplit(link).path.rsplit("/", 1)[1], "0" * 64)
    for refused in (other, link.split("?", maxsplit=1)[0]):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(refused, timeout=30)
