import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vipx.errors import InputError, ResourceError, VipxError
from vipx.files import whole_file, write_atomically


def test_the_old_file_is_replaced_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


def test_an_error_within_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    path.write_bytes(b"old")
    file = whole_file(path)
    file.__enter__().write(b"half")
    assert not file.__exit__(RuntimeError, RuntimeError(), None)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_does_not_exist_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    with whole_file(path) as file:
        file.write(b"whole")
        file.flush()
        (partial,) = tmp_path.iterdir()
        assert partial.name.startswith(f".map.npy.partial-{os.getpid()}-")
    assert path.read_bytes() == b"whole"


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from vipx.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, cwd=root, env={"PYTHONPATH": "."}, check=False).returncode
    assert path.read_bytes() == b"old"


def test_a_long_name_is_no_problem_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"target"
    assert not (tmp_path / "link").is_symlink()


def refused(path: Path, kind: type[VipxError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        write_atomically(path, b"data")
    assert "\n" not in str(caught.value)


def test_places_that_cannot_take_a_file_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "missing" / "map.npy", InputError, "No such file or directory")
    refused(tmp_path / "file" / "map.npy", InputError, "cannot be written")
    refused(tmp_path / "folder", InputError, "cannot be written")
    refused(tmp_path / ("a" * 300), InputError, "cannot be written")
    refused(Path("/"), InputError, "this is a folder")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, ResourceError),
        (errno.EIO, ResourceError),
        (errno.EROFS, InputError),
        (errno.EACCES, InputError),
    ],
)
def test_a_disk_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[VipxError]
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("vipx.files.os.fsync", fail)
    refused(tmp_path / "map.npy", kind, os.strerror(number))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_resource_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "with_name", lambda path, _: tmp_path / "full")
    (tmp_path / "full").symlink_to("/dev/full")
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, _: opened(path, "wb"))
    refused(tmp_path / "map.npy", ResourceError, "No space left on device; free|No space left")
