"""The place of an engine's caches: whose it must be, who shares it, and what a refusal leaves."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.workers.vllm import place as places
from tasks.workers.vllm.place import Place, PlaceRefused, copy_files, link, occupy, place_of, vacate

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of("0123456789abcdef" * 4, tmp_path)


def fill(text: str) -> Callable[[Place], None]:
    def write(place: Place) -> None:
        place.caches.mkdir(exist_ok=True)
        (place.caches / "kernel.so").write_text(text)

    return write


def never(place: Place) -> None:
    raise AssertionError(f"{place} was filled")


def test_two_engines_have_two_places_and_an_engine_always_the_same() -> None:
    assert place_of("a" * 64) == place_of("a" * 64) != place_of("b" * 64)
    assert place_of("a" * 64).path == Path("/var/tmp/enginery-vllm-aaaaaaaaaaaaaaaa")


def test_it_is_made_private_and_filled_anew_by_each_start(place: Place) -> None:
    os.close(occupy(place, "one", fill("first")))
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o700
    (place.caches / "planted.so").touch()
    os.close(occupy(place, "one", fill("second")))
    assert (place.caches / "kernel.so").read_text() == "second"


def test_servers_of_one_engine_share_it_and_another_build_of_it_may_not(place: Place) -> None:
    first = occupy(place, "one", fill("first"))
    second = occupy(place, "one", never)
    with pytest.raises(PlaceRefused, match="a server of another build or toolchain uses"):
        occupy(place, "two", never)
    os.close(first)
    with pytest.raises(PlaceRefused):
        occupy(place, "two", never)
    os.close(second)
    os.close(occupy(place, "two", fill("other")))
    assert (place.caches / "kernel.so").read_text() == "other"


def test_the_lock_is_inherited_by_what_the_process_becomes(place: Place) -> None:
    lock = occupy(place, "one", fill("first"))
    assert os.get_inheritable(lock)
    os.close(lock)


def test_a_link_is_refused_and_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceRefused, match=r"is a link to .*elsewhere, and anybody may have put it there"):
        occupy(place, "one", never)
    assert place.path.is_symlink()
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_a_stale_link_is_refused_too(place: Place, tmp_path: Path) -> None:
    place.path.symlink_to(tmp_path / "gone")
    with pytest.raises(PlaceRefused, match="is a link to"):
        occupy(place, "one", never)
    assert not (tmp_path / "gone").exists()


def test_a_file_is_refused(place: Place) -> None:
    place.path.touch()
    with pytest.raises(PlaceRefused, match="is not a directory"):
        occupy(place, "one", never)


@as_root
def test_a_directory_of_another_user_is_refused_and_left_alone(place: Place) -> None:
    place.path.mkdir(mode=0o700)
    os.chown(place.path, NOBODY, NOBODY)
    with pytest.raises(PlaceRefused, match="belongs to user 65534, and this is user 0"):
        occupy(place, "one", never)
    vacate(place, os.geteuid())
    assert [*place.path.iterdir()] == []


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(place: Place, mode: int) -> None:
    place.path.mkdir()
    place.path.chmod(mode)
    with pytest.raises(PlaceRefused, match=f"others may write to .* \\(mode {mode:o}\\)"):
        occupy(place, "one", never)


def test_a_parent_where_everybody_may_rename_is_refused(place: Place) -> None:
    place.path.parent.chmod(0o777)
    with pytest.raises(PlaceRefused, match="everybody may rename what is in"):
        occupy(place, "one", never)
    place.path.parent.chmod(0o1777)
    os.close(occupy(place, "one", fill("first")))


@as_root
def test_a_parent_of_another_user_is_refused(place: Place) -> None:
    os.chown(place.path.parent, NOBODY, NOBODY)
    with pytest.raises(PlaceRefused, match="user 65534 may rename"):
        occupy(place, "one", never)


def test_a_lock_that_is_a_link_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.path.mkdir(mode=0o700)
    (place.path / "start.lock").symlink_to(tmp_path / "target")
    with pytest.raises(PlaceRefused, match="cannot be used"):
        occupy(place, "one", never)
    assert not (tmp_path / "target").exists()


def test_what_cannot_be_filled_is_never_shared(place: Place) -> None:
    def full(place: Place) -> None:
        fill("half")(place)
        raise OSError(28, "No space left on device")

    with pytest.raises(PlaceRefused, match="No space left on device"):
        occupy(place, "one", full)
    os.close(occupy(place, "one", fill("whole")))
    assert (place.caches / "kernel.so").read_text() == "whole"


def test_a_start_that_hangs_while_it_prepares_is_not_waited_for_forever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "TURN_LIMIT_S", 0.1)

    def nested(place: Place) -> None:
        with pytest.raises(PlaceRefused, match="another start has been preparing"):
            occupy(place, "one", never)
        fill("first")(place)

    os.close(occupy(place, "one", nested))


def test_it_is_removed_once_nobody_serves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LINGER_LIMIT_S", 0.1)
    lock = occupy(place, "one", fill("first"))
    vacate(place, os.geteuid())
    assert place.caches.is_dir()
    os.close(lock)
    vacate(place, os.geteuid())
    assert not place.path.exists()
    vacate(place, os.geteuid())


def test_a_copy_of_a_read_only_tree_is_writable(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_text("content")
    (source / "inner" / "file").chmod(0o444)
    (source / "inner").chmod(0o555)
    copy_files(source, tmp_path / "copy")
    copied = tmp_path / "copy" / "inner"
    assert (copied / "file").read_text() == "content"
    assert all(path.stat().st_mode & stat.S_IWUSR for path in (copied, copied / "file"))
    shutil.rmtree(tmp_path / "copy")


def test_a_link_is_replaced(tmp_path: Path) -> None:
    link(tmp_path / "model", tmp_path / "one")
    link(tmp_path / "model", tmp_path / "two")
    assert (tmp_path / "model").readlink() == tmp_path / "two"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
