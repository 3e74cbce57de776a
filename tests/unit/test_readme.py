"""What the README quotes of this project is what the project says: a spec, a plan, commands, codes, counts.

Commands in the other documents are held to the same. Figures that were measured carry their date instead.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO

import pytest
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms
from support.paths import ROOT

from artifacts.errors import EngineryError
from engine_specs.tables import load_targets
from flows.cli.main import EXIT_CODES, make_app, run
from tasks.judging.judge import judge_engine

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")
))  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:enginery) [^`]+)`")
# The start of a comment, of a second command, or of what a command of that name printed.
REST = re.compile(r"\s+#.*|\s+\|.*|\s*&&.*|\s{2,}.*|;.*")


def commands_in(text: str) -> Iterator[str]:
    """Return the commands of ours that a text names, in blocks and in sentences, without comments."""
    for _, block in FENCE.findall(text):
        lines = (line.strip().removeprefix("$ ") for line in block.splitlines())
        yield from (REST.sub("", line) for line in lines if re.match(r"enginery [a-z-]", line))
    yield from (REST.sub("", found.replace("\n", " ")) for found in INLINE.findall(text))


def refusal(command: str) -> str:
    """Return why the command line does not take a command; empty if it does.

    Words in capitals stand for any value. A command that is named without its arguments is not refused.
    """
    words = [word.strip("[]") for word in shlex.split(command)[1:]]
    chain, apps, rest = make_app().parse_commands(words)
    if not chain:
        return "" if words == ["--help"] else f"no command {words[0]!r}"
    if apps[-1].default_command is None:
        return f"{chain[-1]} takes a command, which is not {rest[0]!r}" if rest else ""
    wrong = [word for word in rest if word.startswith("--") and word.split("=")[0] not in options_of(chain)]
    return f"{' '.join(chain)} has no option {wrong[0]}" if wrong else ""


@cache
def options_of(chain: tuple[str, ...]) -> frozenset[str]:
    """Return the options that the help of a command lists."""
    with redirect_stdout(StringIO()) as shown:
        run([*chain, "--help"])
    return frozenset(re.findall(r"--[a-z][a-z-]*", shown.getvalue())) | {"--help", "--debug"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_a_document_is_one_that_the_command_line_takes(document: str) -> None:
    named = list(dict.fromkeys(commands_in((ROOT / document).read_text(encoding="utf-8"))))
    assert {command: said for command in named if (said := refusal(command))} == {}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("enginery plan SPEC --commands", ""),
        ("enginery --help", ""),
        ("enginery plam SPEC", "no command 'plam'"),
        ("enginery toolchain adpt NAME", "toolchain takes a command, which is not 'adpt'"),
        ("enginery pull demo --too DIRECTORY", "pull has no option --too"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, said: str) -> None:
    assert refusal(command) == said


def test_the_commands_of_all_kinds_of_text_are_read() -> None:
    text = "Run `enginery doctor\n--only gpu`.\n\n```yaml\na: 1\n```\n\n```\n$ enginery up  # now\nls\n```\n"
    assert list(commands_in(text)) == ["enginery up", "enginery doctor --only gpu"]


def test_the_spec_is_the_shipped_one() -> None:
    (quoted,) = [block for language, block in FENCE.findall(README) if language == "yaml"]
    assert quoted == (ROOT / "engine_specs" / "demo.yaml").read_text(encoding="utf-8")


def test_the_plan_is_what_plan_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (quoted,) = [block for _, block in FENCE.findall(README) if "variant h100-tp2" in block]
    assert run(["plan", "llama-3.3-70b-instruct"]) == 0
    assert quoted in capsys.readouterr().out


def without_figures(sentence: str) -> str:
    return re.sub(r"\d(?:[\d,.]*\d)?", "N", " ".join(sentence.split()))


def test_the_demo_says_what_the_gates_say() -> None:
    (quoted,) = [block for _, block in FENCE.findall(README) if block.startswith("demo/cpu-int8: compile")]
    reasons, _ = quoted.split("  report: ")
    sentences = [without_figures(one) for one in re.split(r"\n(?=  \S)", reasons)[1:]]
    asked = protocol(samples=630, margin=0.02, first_pairs=8)
    made = measured(asked.digest, [0.0] * 600 + [0.01] * 30, ratio=1.4)
    said = [*map(without_figures, judge_engine(made, asked, terms(PRICES), SUBJECT).verdict.reasons)]
    # These have other words for other figures: of looks, of one device, of what was not asked.
    of_figures = ("Goodput per device", "The declared load", "Regret does not grow")
    assert {one for one in sentences if one not in said and not one.startswith(of_figures)} == set()
    assert {one for one in said if one not in sentences and not one.startswith(of_figures)} == set()


def test_every_exit_code_has_a_line() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    raised = {error.exit_code for error in _below(EngineryError)}
    assert raised <= documented
    assert documented == {int(code) for code in re.findall(r"\b(\d+)\b", EXIT_CODES)}


def _below(error: type[EngineryError]) -> Iterator[type[EngineryError]]:
    yield error
    for one in error.__subclasses__():
        yield from _below(one)


def test_the_targets_are_counted() -> None:
    gpus = [target for target in load_targets().values() if target.accelerator == "cuda"]
    assert f"{len(gpus)} NVIDIA GPUs" in README
