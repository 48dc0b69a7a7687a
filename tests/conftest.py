"""What several tests share: bundles exported once, and a clean global state."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.golden_case import AVAILABLE, COMMITTED
from tests.tiny import noise_images, tiny_detector
from vipx.export import ExportOptions, bundle_from_detector


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in both precisions, non-square; tests must not change it."""
    path = tmp_path_factory.mktemp("bundles") / "tiny.vipx"
    options = ExportOptions(("fp32", "fp16"))
    bundle_from_detector(tiny_detector(), path, goldens=noise_images(3), options=options)
    return path


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed golden case as a bundle in both precisions; tests must not change it."""
    path = tmp_path_factory.mktemp("bundles") / "golden.vipx"
    goldens = list(COMMITTED.pixels(COMMITTED.image_paths()).numpy())
    options = ExportOptions(("fp32", "fp16"))
    bundle_from_detector(COMMITTED.detector(), path, goldens=goldens, options=options)
    return path


@pytest.fixture(scope="session")
def published_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports a case of the published code by the command, once, in fp32 and fp16; tests must not change it."""
    folder = tmp_path_factory.mktemp("published")

    @cache
    def exported(name: str) -> Path:
        path = folder / f"{name}.vipx"
        options = [*AVAILABLE[name].options(), "--precision", "fp32,fp16", "-o", path]
        command = [sys.executable, "-m", "vipx", "export", *map(str, options)]
        subprocess.run(command, check=True, capture_output=True)
        return path

    return exported


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    state = np.random.get_state()
    yield
    np.random.set_state(state)
