"""Questions of tasks are fetched once per rows and fields, and no text that calibrates is among them."""

import json
from pathlib import Path

import pytest
from support.judging.tasks import writing

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Task, TextSource, load_spec
from tasks.errors import TextsInvalid
from tasks.hub import ITEMS_FILE, HubAccess, parse_items
from tasks.runs import Pipeline, StageResult
from tasks.stages import Sources, require_disjoint
from tasks.stages.fetch import FetchTask, FetchTexts

ROWS = [{"id": str(n), "number": n, "sum": str(n + 1), "text": f"text {n}"} for n in range(20)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "sums.jsonl").write_text(rows)
    (tmp_path / "texts.jsonl").write_text(rows)
    asked = json.dumps({"id": "c", "text": "7 + 1 =\n8"}) + "\n"
    (tmp_path / "calibration.jsonl").write_text(asked)
    return tmp_path


class Fetching:
    """Fetches what a spec in a folder names."""

    def __init__(self, settings: Settings, store: Store, folder: Path) -> None:
        self.pipeline = Pipeline(settings, store, say=lambda _line: None)
        self._spec = load_spec("demo").at(folder / "demo.yaml")
        self._sources = Sources(self._spec, HubAccess("http://127.0.0.1:9", folder))

    def task(self, task: Task) -> StageResult:
        return FetchTask(self._spec, task).run(self.pipeline, self._sources)

    def texts(self, role: str, path: str) -> str:
        source = TextSource(path=path, samples=1)
        return FetchTexts(self._spec, role, source).run(self.pipeline, self._sources).tree


@pytest.fixture
def fetching(settings: Settings, store: Store, folder: Path) -> Fetching:
    return Fetching(settings, store, folder)


def test_only_rows_and_what_is_read_of_them_make_a_difference(fetching: Fetching, store: Store) -> None:
    made = fetching.task(writing(samples=9))
    items = parse_items(store.read_file(made.tree, ITEMS_FILE))
    assert len(items) == 9
    assert all(one.prompt == f"{int(one.id)} + 1 =" for one in items)
    again = fetching.task(writing(samples=9, max_loss=0.2, max_tokens=3, extract="x", chat=True))
    assert (made.reused, again.reused, again.tree) == (False, True, made.tree)
    changes = ({"seed": 1}, {"samples": 8}, {"prompt": "{number}?"}, {"answer_field": "text"})
    others = [fetching.task(writing(**{"samples": 9} | change)) for change in changes]
    assert not any(one.reused for one in others)
    assert len({made.tree, *(one.tree for one in others)}) == 5


def test_calibration_texts_are_compared_with_every_task(fetching: Fetching, store: Store) -> None:
    ours, heldout = (
        fetching.texts("calibration-x", "calibration.jsonl"),
        fetching.texts("heldout", "texts.jsonl"),
    )
    all_sums = fetching.task(writing(samples=20)).tree
    require_disjoint(store, ours, heldout, {}, "fp8")
    with pytest.raises(TextsInvalid, match="calibrate variant fp8 are questions of task sums: 'c' is '7'"):
        require_disjoint(store, ours, heldout, {"sums": all_sums}, "fp8")
