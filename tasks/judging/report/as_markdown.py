"""A judged engine in a few lines of Markdown, to be pasted into a ticket or a chat. Pure."""

from tasks.judging.judgement import JudgedResult
from tasks.judging.report.advice import Advice


def as_markdown(result: JudgedResult, advice: Advice, since: str = "") -> str:
    """Return the verdict, the advice, what changed since the last release, and the outcome of every gate."""
    subject, verdict = result.subject, result.verdict
    conditions, reasons = result.outcomes.conditions(), result.outcomes.reasons()
    judged = f"Judged {result.created_at:%Y-%m-%d} on {subject.host}"
    what = f"{subject.model}, {subject.kind}, {subject.quantization}, {subject.target}"
    lines = [
        f"## {subject.spec} / {subject.variant}: {verdict.verdict}",
        "",
        advice.do,
        "",
        advice.safe,
        "",
        advice.worth,
        "",
        f"{judged}: {what}.",
        "",
        *((since, "") if since else ()),
        "| gate | outcome | why |",
        "| --- | --- | --- |",
        *(f"| {name} | {conditions[name]} | {_cell(reason)} |" for name, reason in reasons.items()),
    ]
    if advice.pull:
        lines += ["", "```", advice.pull, "```"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
