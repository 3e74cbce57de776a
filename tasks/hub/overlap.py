"""Texts that are used twice: an engine must not be judged on the texts that it was calibrated with. Pure."""

from collections.abc import Iterable, Mapping

from tasks.errors import TextsInvalid
from tasks.hub.task_items import TaskItem
from tasks.hub.texts import Text


def refuse_overlap(calibration: Iterable[Text], heldout: Iterable[Text], variant: str) -> None:
    """Refuse calibration texts that are among the held-out ones, whatever their ids and white space.

    Raises:
        TextsInvalid: at least one text is in both.
    """
    judged = {_content(text.text): text.id for text in heldout}
    _refuse(calibration, judged, variant, "held-out texts as well", where="validation.accuracy")


def refuse_asked(calibration: Iterable[Text], task: str, items: Iterable[TaskItem], variant: str) -> None:
    """Refuse calibration texts that are questions of a task, alone, as they are asked or with their answer.

    Raises:
        TextsInvalid: at least one text is.
    """
    asked = {_content(text): item.id for item in items for text in _texts_of(item)}
    _refuse(calibration, asked, variant, f"questions of task {task}", where="validation.tasks")


def _refuse(
    calibration: Iterable[Text], known: Mapping[str, str], variant: str, what: str, *, where: str
) -> None:
    """Raise TextsInvalid if a text that calibrates is among known contents, each with the id of its row."""
    both = [(text.id, known[_content(text.text)]) for text in calibration if _content(text.text) in known]
    if both:
        (own, other), count = both[0], len(both)
        raise TextsInvalid(
            f"{count} of the texts that calibrate variant {variant} are {what}: {own!r} is {other!r}",
            where=f"quantization.calibration and {where}",
            fix="choose splits or datasets that have no text in common: an engine that is judged on texts it "
            "was calibrated with looks better than it is",
        )


def _texts_of(item: TaskItem) -> Iterable[str]:
    right = item.answers if item.label is None else (item.options[item.label],)
    endings = [f"{item.prompt} {answer}" for answer in right] + [f"{item.prompt}{answer}" for answer in right]
    return (*item.sources, item.prompt, *endings)


def _content(text: str) -> str:
    return " ".join(text.split())
