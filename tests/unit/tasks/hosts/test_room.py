"""How much room this host has."""

from pathlib import Path

from tasks.hosts.room import host_memory_bytes


def test_a_host_has_the_memory_that_its_container_may_use(tmp_path: Path) -> None:
    limit, none = tmp_path / "memory.max", tmp_path / "other"
    limit.write_text("1000000\n")
    none.write_text("max\n")
    whole = host_memory_bytes((none, tmp_path / "absent"))
    assert host_memory_bytes((none, limit)) == 1_000_000 < whole
