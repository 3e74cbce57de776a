"""Texts by which two readings of one tokenizer differ."""

from tasks.workers.quantize.tokenizer_check import TEXTS, differences


def by_characters(text: str) -> list[int]:
    return [ord(character) for character in text]


def test_readings_that_agree_have_no_differences() -> None:
    assert list(differences(by_characters, by_characters)) == []


def test_lost_spaces_lines_and_accents_each_show() -> None:
    for lost in (" ", "\n", "\t", "\u0301", "世", "  "):
        changed = list(
            differences(lambda text, lost=lost: by_characters(text.replace(lost, "")), by_characters)
        )
        assert changed == [text for text in TEXTS if lost in text] != []
