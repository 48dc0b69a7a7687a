"""What several tests share: bundles exported once, and a clean global state."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from filelock import FileLock

# PyTorch and what needs it are imported where a bundle is made: xdist's first process makes none.

BOTH: Final = ("fp32", "fp16")


def _once(factory: pytest.TempPathFactory, name: str, export: Callable[[Path], object]) -> Path:
    """Export a bundle once for all of xdist's processes."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / "bundles" / f"{name}.vipx"
    path.parent.mkdir(exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            export(path)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in both precisions, non-square; tests must not change it."""

    def export(path: Path) -> None:
        from tests.tiny import noise_images, tiny_detector
        from vipx.export import ExportOptions, bundle_from_detector

        options = ExportOptions(BOTH)
        bundle_from_detector(tiny_detector(), path, goldens=noise_images(3), options=options)

    return _once(tmp_path_factory, "tiny", export)


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed golden case as a bundle in both precisions; tests must not change it."""

    def export(path: Path) -> None:
        from tests.golden_case import COMMITTED
        from vipx.export import ExportOptions, bundle_from_detector

        goldens = list(COMMITTED.pixels(COMMITTED.image_paths()).numpy())
        options = ExportOptions(BOTH)
        bundle_from_detector(COMMITTED.detector(), path, goldens=goldens, options=options)

    return _once(tmp_path_factory, "golden", export)


@pytest.fixture(scope="session")
def published_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports a case of the published code by the command, once, in fp32 and fp16; tests must not change it."""

    @cache
    def exported(name: str) -> Path:
        def export(path: Path) -> None:
            from tests.golden_case import AVAILABLE

            options = [*AVAILABLE[name].options(), "--precision", "fp32,fp16", "-o", path]
            command = [sys.executable, "-m", "vipx", "export", *map(str, options)]
            subprocess.run(command, check=True, capture_output=True)

        return _once(tmp_path_factory, f"published-{name}", export)

    return exported


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    state = np.random.get_state()
    yield
    np.random.set_state(state)
