"""The wheel on the Pythons of JetPack 6 and 7 gives the published numbers, with whatever Pillow those have."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.checkout import ROOT
from tests.golden_case import AVAILABLE

pytestmark = pytest.mark.slow


def interpreter(version: str) -> str | None:
    """Find a Python on the path or among pyenv's; a shim that starts nothing is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for path in filter(None, found):
        if not subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode:
            return path
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("hatchling", "build", "--target", "wheel", "--directory", folder)
    run([sys.executable, "-m", *build], cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module", params=["3.10", "3.12"])
def edge_python(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} on this machine")
    folder = tmp_path_factory.mktemp("edge") / "env"
    uv("venv", "--python", python, folder)
    pins = ("--constraints", ROOT / "constraints.txt")
    uv("pip", "install", *pins, "--python", folder, f"{wheel}[cpu]")
    return str(folder / "bin" / "python")


@pytest.mark.parametrize("name", sorted(AVAILABLE))
def test_predict_gives_the_published_numbers(
    edge_python: str, published_bundle: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    images, expected = AVAILABLE[name].image_paths(), AVAILABLE[name].expected
    options = ("--json", "--maps", tmp_path / "maps")
    printed = run([edge_python, "-m", "vipx", "predict", published_bundle(name), *images, *options])
    rows = [json.loads(line) for line in printed.splitlines()]
    for row, score, anomaly_map in zip(rows, expected["scores"], expected["maps"], strict=True):
        assert abs(row["score"] - score) <= 1e-6
        assert np.abs(np.load(row["map"]) - anomaly_map).max() <= 1e-5


def uv(*arguments: object) -> None:
    run([sys.executable, "-m", "uv", arguments[0], "--quiet", *arguments[1:]])


def run(command: list[object], cwd: Path = Path("/")) -> str:
    """Run a program, where nothing else is said outside of the checkout: the installed package answers."""
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
