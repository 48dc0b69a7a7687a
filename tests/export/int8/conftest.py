"""A tiny bundle in INT8, exported once."""

from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import noise_images, tiny_detector
from vipx.export import ExportOptions, Int8Request, bundle_from_detector


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures of noise, half of them called good."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(noise_images(16, seed=3)):
        place = folder / ("bad" if number % 2 else "good")
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def int8_bundle(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A bundle in INT8 alone; tests must not change it."""
    path = tmp_path_factory.mktemp("bundles") / "int8.vipx"
    options = ExportOptions(("int8",), int8=Int8Request(pictures))
    bundle_from_detector(tiny_detector(), path, goldens=noise_images(3), options=options)
    return path
