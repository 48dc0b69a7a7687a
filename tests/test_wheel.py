"""What a user installs: the wheel is whole, starts fast, and runs without torch."""

import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import PACKAGES, ROOT, STAGES, files

HELP_SECONDS = 0.3

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return _build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def inspection_pc(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of a fresh environment that holds the wheel, an engine and nothing else."""
    folder = tmp_path_factory.mktemp("inspection_pc")
    # A user's second start finds bytecode; without it `--help` would be measured compiling.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    uv = [sys.executable, "-m", "uv"]
    pins = ["--constraints", str(ROOT / "constraints.txt")]
    _run(*uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env"))
    _run(*uv, "pip", "install", "--quiet", *pins, "--python", str(folder / "env"), f"{wheel}[cpu]")
    programs = folder / "env" / Path(sys.executable).parent.name

    def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            check=False,
        )

    return run


def test_wheel_holds_every_file_of_the_packages_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if ".dist-info/" not in name)
    assert names == sorted(_installed_name(path) for path in _package_files())


def test_wheel_carries_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_source_archive_holds_the_folders_and_no_links(tmp_path: Path) -> None:
    with tarfile.open(_build("sdist", tmp_path)) as archive:
        members = {member.name.split("/", 1)[1]: member for member in archive}
    assert not [name for name, member in members.items() if member.issym()]
    assert {path.as_posix() for path in _package_files()} <= members.keys()
    assert not members.keys() & {f"vipx/{stage}" for stage in STAGES}


@pytest.mark.slow
def test_inspection_pc_has_no_torch(inspection_pc: Run) -> None:
    assert "No module named 'torch'" in inspection_pc("python", "-c", "import torch").stderr


@pytest.mark.slow
def test_inspection_pc_runs_the_demo(inspection_pc: Run) -> None:
    result = inspection_pc("vipx", "demo")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_help_appears_at_once(inspection_pc: Run) -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert inspection_pc("vipx", "--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < HELP_SECONDS, seconds


def _build(kind: str, folder: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder))
    (archive,) = folder.iterdir()
    return archive


def _run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _package_files() -> list[Path]:
    relative = (path.relative_to(ROOT) for path in files())
    return [path for path in relative if path.parts[0] in PACKAGES]


def _installed_name(path: Path) -> str:
    return path.as_posix() if path.parts[0] == "vipx" else f"vipx/{path.as_posix()}"
