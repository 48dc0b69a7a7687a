"""What holds for the whole repository: the packaging rules of CONTRIBUTING.md, and house style."""

import ast
import os
import re
import subprocess
import sys

import pytest

from tests.checkout import PACKAGES, ROOT, STAGES, files, modules, pyproject

LONGEST_MODULE = 350
NAMES_OF_NO_SUBJECT = {"utils", "util", "helpers", "common", "base", "core", "manager"}
HEAVY = ("torch", "numpy", "pydantic", "rich", "PIL", "onnx", "onnxruntime", "jaxtyping")
LEFT_OPEN = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")
REGISTRY = re.compile(
    r"(pypi|test\.pypi|pythonhosted|download\.pytorch|anaconda|npmjs)\.(org|com)|pypi\.nvidia"
)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_a_relative_link_in_the_package(stage: str) -> None:
    assert os.readlink(ROOT / "vipx" / stage) == f"../{stage}"  # noqa: PTH115 - the text itself
    assert (ROOT / "vipx" / stage / "__init__.py").is_file()


def test_every_package_of_the_root_is_known_to_every_tool() -> None:
    in_root = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    project = pyproject()
    hatch = project["tool"]["hatch"]["build"]
    assert in_root == set(PACKAGES)
    assert hatch["exclude"] == [f"/vipx/{stage}" for stage in STAGES]
    assert hatch["targets"]["wheel"]["only-include"] == list(PACKAGES)
    assert hatch["targets"]["wheel"]["sources"] == {stage: f"vipx/{stage}" for stage in STAGES}
    assert project["tool"]["coverage"]["run"]["source"] == list(PACKAGES)
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == set(STAGES)


def test_shapes_are_checked_in_this_run(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.inipath == ROOT / "pyproject.toml"
    assert pytestconfig.getoption("jaxtyping_packages") == "vipx,beartype.beartype"


def test_no_module_is_longer_than_one_sitting() -> None:
    long = {
        str(path): lines
        for path in modules(*PACKAGES, "benchmarks")
        if (lines := len((ROOT / path).read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_every_module_is_named_for_its_subject() -> None:
    parts = {
        part.removesuffix(".py"): path
        for path in modules(*PACKAGES, "tests", "benchmarks")
        for part in path.parts
    }
    assert not NAMES_OF_NO_SUBJECT & parts.keys()


def test_nothing_is_left_open_in_the_code() -> None:
    found = [str(path) for path in files(".py", ".toml", ".yml", ".yaml") if _has(path, LEFT_OPEN)]
    assert not found


def test_no_file_names_a_package_registry() -> None:
    text = (".py", ".toml", ".txt", ".md", ".yml", ".yaml", ".json", ".lock", "Makefile", "run")
    assert not [str(path) for path in files(*text) if _has(path, REGISTRY)]
    assert not list(files("uv.lock"))


def test_python_310_can_read_every_file() -> None:
    for path in files(".py"):
        ast.parse(path.read_text(), str(path), feature_version=(3, 10))


def test_command_line_starts_without_heavy_imports() -> None:
    code = f"import sys, vipx.cli; print(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def _has(path: os.PathLike[str], pattern: re.Pattern[str]) -> bool:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - any path-like
        return pattern.search(file.read()) is not None
