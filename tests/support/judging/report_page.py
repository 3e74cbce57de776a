"""The tables of a report's page, as text."""

from html.parser import HTMLParser

CELLS = {"td", "th", "caption"}


class _Tables(HTMLParser):
    """Collects the caption, and the cells row by row, of every table."""

    def __init__(self) -> None:
        super().__init__()
        self.captions: list[str] = []
        self.rows: list[list[list[str]]] = []
        self.scopes: list[str | None] = []
        self._place = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.captions.append("")
            self.rows.append([])
        elif tag == "tr":
            self.rows[-1].append([])
        elif tag in CELLS:
            self._place = tag
        if tag in {"td", "th"}:
            self.rows[-1][-1].append("")
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))

    def handle_endtag(self, tag: str) -> None:
        if tag in CELLS:
            self._place = ""

    def handle_data(self, data: str) -> None:
        if self._place == "caption":
            self.captions[-1] += data
        elif self._place:
            self.rows[-1][-1][-1] += data


def _read(page: str) -> _Tables:
    parser = _Tables()
    parser.feed(page)
    return parser


def captions_of(page: str) -> list[str]:
    """The caption of every table, in order; empty where one has none."""
    return _read(page).captions


def scopes_of(page: str) -> list[str | None]:
    """The scope of every heading of a column or row."""
    return _read(page).scopes


def rows_of(page: str, caption: str) -> list[list[str]]:
    """The rows of the table whose caption begins like this, with its headings, as text."""
    read = _read(page)
    (rows,) = [
        rows for found, rows in zip(read.captions, read.rows, strict=True) if found.startswith(caption)
    ]
    return [[" ".join(cell.split()) for cell in row] for row in rows]
