"""Tables of the interfaces of tools that cannot run here, and what a command line breaks of them."""

from typing import Any

import yaml

from support.paths import INTERFACES

NUMBERS = {"int": int, "float": float}


def table(name: str) -> dict[str, Any]:
    """One table by the name of its file, such as trtllm-build-1.2."""
    content: dict[str, Any] = yaml.load((INTERFACES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)
    return content


def broken(interface: dict[str, Any], argv: list[str]) -> list[str]:
    """Every rule of the table that a command line breaks; `argv` without the program itself."""
    flags = interface["flags"] | {
        alias: row for row in interface["flags"].values() for alias in row.get("aliases", ())
    }
    found, seen, rest = [], set(), list(argv)
    positional = [rest.pop(0) for _ in interface["positional"] if rest and not rest[0].startswith("--")]
    if len(positional) != len(interface["positional"]):
        found.append(f"positional arguments: {positional}")
    while rest:
        flag = rest.pop(0)
        row = flags.get(flag)
        if row is None:
            found.append(f"unknown: {flag}")
        elif flag in seen:
            found.append(f"twice: {flag}")
        elif row["type"] != "flag":
            found += _value(flag, row, rest.pop(0) if rest else None)
        seen.add(flag)
    return found


def broken_group(interface: dict[str, Any], argv: list[str]) -> list[str]:
    """The same of a program with subcommands: its own flags come before the name of the subcommand."""
    commands = interface["commands"]
    at = next((place for place, part in enumerate(argv) if part in commands), None)
    if at is None:
        return [f"no subcommand of {sorted(commands)}"]
    needed = [flag for flag, row in interface["flags"].items() if row.get("required")]
    missing = [f"missing: {flag}" for flag in needed if flag not in argv[:at]]
    return [*missing, *broken(interface, argv[:at]), *broken(commands[argv[at]], argv[at + 1 :])]


def values(argv: list[str]) -> dict[str, str]:
    """Values by flag; a flag that takes none has an empty one."""
    following = [*argv[1:], "--"]
    pairs = zip(argv, following, strict=True)
    return {flag: "" if value.startswith("--") else value for flag, value in pairs if flag.startswith("--")}


def _value(flag: str, row: dict[str, Any], value: str | None) -> list[str]:
    if value is None or value.startswith("--"):
        return [f"no value: {flag}"]
    if row["type"] in NUMBERS:
        try:
            NUMBERS[row["type"]](value)
        except ValueError:
            return [f"{flag}: {value!r} is no {row['type']}"]
    choices = row.get("choices")
    return [f"{flag}: {value!r} is none of {choices}"] if choices and value not in choices else []
