"""Texts that are used twice: an engine must not be judged on the texts that it was calibrated with. Pure."""

from collections.abc import Iterable

from tasks.errors import TextsInvalid
from tasks.hub.task_items import TaskItem
from tasks.hub.texts import Text


def refuse_overlap(calibration: Iterable[Text], heldout: Iterable[Text], variant: str) -> None:
    """Refuse calibration texts that are among the held-out ones, whatever their ids and white space.

    Raises:
        TextsInvalid: at least one text is in both.
    """
    judged = {_content(text.text): text.id for text in heldout}
    both = [(text.id, judged[_content(text.text)]) for text in calibration if _content(text.text) in judged]
    if both:
        (own, other), count = both[0], len(both)
        raise TextsInvalid(
            f"{count} of the texts that calibrate variant {variant} are held-out texts as well: {own!r} is "
            f"{other!r}",
            where="quantization.calibration and validation.accuracy",
            fix="choose splits or datasets that have no text in common: an engine that is judged on texts it "
            "was calibrated with looks better than it is",
        )


def refuse_asked(calibration: Iterable[Text], task: str, items: Iterable[TaskItem], variant: str) -> None:
    """Refuse calibration texts that are questions of a task, alone, as they are asked or with their answer.

    Raises:
        TextsInvalid: at least one text is.
    """
    asked = {_content(text): item.id for item in items for text in _texts_of(item)}
    both = [(text.id, asked[_content(text.text)]) for text in calibration if _content(text.text) in asked]
    if both:
        (own, other), count = both[0], len(both)
        raise TextsInvalid(
            f"{count} of the texts that calibrate variant {variant} are questions of task {task}: {own!r} is "
            f"{other!r}",
            where="quantization.calibration and validation.tasks",
            fix="choose splits or datasets that have no text in common: an engine that is asked what it was "
            "calibrated with looks better than it is",
        )


def _texts_of(item: TaskItem) -> Iterable[str]:
    right = item.answers if item.label is None else (item.options[item.label],)
    endings = [f"{item.prompt} {answer}" for answer in right] + [f"{item.prompt}{answer}" for answer in right]
    return (*item.sources, item.prompt, *endings)


def _content(text: str) -> str:
    return " ".join(text.split())
