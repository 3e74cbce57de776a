"""Where rows of text come from: a pinned dataset on the Hub, or a file next to the spec."""

from typing import Annotated

from pydantic import Field

from engine_specs.reading import Repo, Revision, RowsPath, StrictFrozen


class RowSource(StrictFrozen):
    """Rows of a pinned split of a `dataset`, or of the file at `path`, never of both."""

    dataset: Repo | None = Field(default=None, description="Dataset repository on the Hub.")
    path: RowsPath | None = Field(
        default=None,
        description="Local file (JSON Lines, with gzip or without, or Parquet), relative to the spec file.",
    )
    revision: Revision | None = Field(
        default=None,
        description="Commit of the dataset: 40 hexadecimal digits; a branch or tag only with track: true.",
    )
    track: bool = Field(
        default=False, description="Follow a branch or tag; the commit it resolved to is recorded."
    )
    split: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="Split of the dataset, such as train; behind the folder of its configuration if it has "
        "several: wikitext-2-raw-v1/test.",
    )
    samples: int = Field(ge=1, le=1_000_000, description="Number of rows to take.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed for choosing the rows.")


class TextSource(RowSource):
    """Texts, one per row."""

    text_field: str = Field(
        default="text",
        min_length=1,
        description="Field of a row that holds the text. Conversations in a field `messages` become texts by "
        "the chat template of the checkpoint.",
    )
