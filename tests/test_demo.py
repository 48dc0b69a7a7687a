"""The demo verifies, judges and shows, and its page asks nothing of any server."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.demo.command import DemoRequest, DemoResult, run_demo
from vipx.errors import UsageError
from vipx.runtime import Inspector, check_goldens
from vipx.training.data.procedural import UNSEEN

HOSTILE = "<img src=x onerror=alert(1)>.png"


def quiet(_: str) -> None:
    """Take no notice of progress."""


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def ran(
    golden_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DemoResult, DemoRequest]:
    folder = tmp_path_factory.mktemp("demo")
    Image.fromarray(noise_images(1, 60, 80)[0]).save(folder / HOSTILE)
    (folder / "broken.png").write_bytes(b"no")
    request = DemoRequest(
        images=(folder / HOSTILE, folder / "broken.png"),
        parts=1,
        page=folder / "page.html",
        save_bundle=folder / "left.vipx",
        save_images=folder / "parts",
    )
    return run_demo(request, quiet, golden_bundle), request


def test_every_unseen_kind_is_inspected_good_and_defective(
    ran: tuple[DemoResult, DemoRequest],
) -> None:
    result, _ = ran
    assert [c.category for c in result.categories] == list(UNSEEN)
    assert all(c.good == c.defective == 1 for c in result.categories)
    drawn = [p for p in result.pictures if p.truth]
    assert len(drawn) == 2 * len(UNSEEN)
    assert all(p.verdict.value in ("OK", "NG") for p in drawn)


def test_pictures_of_the_user_are_review_and_broken_ones_are_named(
    ran: tuple[DemoResult, DemoRequest],
) -> None:
    result, _ = ran
    assert [p.verdict.value for p in result.pictures if not p.truth] == ["REVIEW"]
    assert len(result.failures) == 1
    assert "broken.png" in result.failures[0]


def test_the_page_holds_everything_and_asks_nobody(ran: tuple[DemoResult, DemoRequest]) -> None:
    result, request = ran
    text = request.page.read_text()
    tags = Tags(text).found
    images = [attributes["src"] or "" for tag, attributes in tags if tag == "img"]
    assert len(images) == 2 * len(result.pictures)
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    assert not [tag for tag, _ in tags if tag in ("script", "iframe", "object", "form")]
    assert not re.search(r"https?://", text)
    assert "default-src 'none'" in text
    assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
    for picture in result.pictures:
        assert f"{picture.score:.4f}" in text


def test_names_of_files_are_shown_and_not_run(ran: tuple[DemoResult, DemoRequest]) -> None:
    text = ran[1].page.read_text()
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in text


def test_the_bundle_that_is_left_is_the_bundle(
    ran: tuple[DemoResult, DemoRequest], golden_bundle: Path
) -> None:
    assert ran[1].save_bundle is not None
    assert read_bundle(ran[1].save_bundle).identity == read_bundle(golden_bundle).identity


def test_the_parts_that_are_left_have_masks_of_their_size(
    ran: tuple[DemoResult, DemoRequest],
) -> None:
    folder = ran[1].save_images
    assert folder is not None
    for category in UNSEEN:
        assert len(list((folder / category / "train/good").glob("*.png"))) == 20
        defective = [
            p for p in (folder / category / "test").rglob("*.png") if p.parent.name != "good"
        ]
        assert len(defective) == 1
        for path in defective:
            mask = folder / category / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
            with Image.open(path) as image, Image.open(mask) as drawn:
                assert image.size == drawn.size
                assert np.asarray(drawn).any()


def test_what_lies_there_already_is_kept(golden_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "left.vipx").mkdir()
    request = DemoRequest((), 1, tmp_path / "page.html", save_bundle=tmp_path / "left.vipx")
    with pytest.raises(UsageError, match="already exists"):
        run_demo(request, quiet, golden_bundle)


def test_the_record_is_plain_data(ran: tuple[DemoResult, DemoRequest]) -> None:
    import json

    record = json.loads(json.dumps(ran[0].record(), allow_nan=False))
    assert len(record["images"]) == len(ran[0].pictures)


@pytest.mark.slow
def test_the_shipped_weights_are_those_of_the_shipped_bundle(tmp_path: Path) -> None:
    from vipx.export import BackboneChoice, Overrides, load_detector
    from vipx.training.methods.method import predict

    request = DemoRequest((), 1, tmp_path / "page.html", save_weights=tmp_path / "weights")
    run_demo(request, quiet)
    weights = tmp_path / "weights"
    choice = BackboneChoice(weights / "backbone.safetensors")
    detector = load_detector(weights / "demo.ckpt", choice, Overrides())
    bundle = read_bundle(DEMO_BUNDLE)
    assert detector.checkpoint.sha256 == bundle.manifest.checkpoint.sha256
    assert detector.backbone.identity.sha256 == bundle.manifest.backbone.sha256
    with np.load(DEMO_BUNDLE / bundle.manifest.goldens.expected) as expected:
        for name, score in zip(bundle.manifest.goldens.images, expected["score"], strict=True):
            with Image.open(DEMO_BUNDLE / name) as image:
                pixels = torch.from_numpy(np.array(image)[None])
            found = predict(detector.backbone, detector.method, pixels)
            assert abs(float(found.scores[0]) - float(score)) <= 1e-5


def test_the_shipped_bundle_is_small_verified_and_right_on_this_machine() -> None:
    bundle = read_bundle(DEMO_BUNDLE)
    assert sum(f.size for f in bundle.manifest.files.values()) <= 8 * 10**6
    assert bundle.manifest.checkpoint.format == "vipx"
    with Inspector.open(DEMO_BUNDLE) as inspector:
        check_goldens(inspector)
