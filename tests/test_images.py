import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import noise, pillow_13, saved, scene
from vipx.errors import ImageError, InputError
from vipx.images import (
    ListedImage,
    decode_image,
    list_images,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
)

SHARED = Path("/work/shared/data")
SIDES = st.integers(1, 40)


def write(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_the_file_s_bytes_decide_and_not_its_name(tmp_path: Path) -> None:
    rgb = noise(5, 7)
    for name in ("part.png", "part.jpg", "part", "part.txt"):
        path = write(tmp_path / name, saved(Image.fromarray(rgb), "PNG"))
        assert np.array_equal(read_image(path), rgb)
        assert np.array_equal(read_image(str(path)), rgb)


def test_what_is_no_file_is_an_image_error(tmp_path: Path) -> None:
    refused(tmp_path / "missing.png", r"missing\.png: no such file; check the path")
    refused(tmp_path, "cannot be read")
    refused(write(tmp_path / "empty.png"), "empty")
    refused(write(tmp_path / "file") / "part.png", "cannot be read")
    refused(tmp_path / ("a" * 300), "cannot be read")
    refused(Path("nul\0.png"), "damaged")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_does_not_stop_the_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "this is no file")


def test_links_that_lead_nowhere_are_errors(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    refused(tmp_path / "loop.png", "cannot be read")
    (tmp_path / "gone.png").symlink_to(tmp_path / "missing")
    refused(tmp_path / "gone.png", "no such file")


def test_a_file_without_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "part.png")
    monkeypatch.setattr("vipx.images.os.open", forbid)  # root may read every file
    refused(path, r"cannot be read \(Permission denied\)")


def test_a_file_that_grows_while_it_is_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "part.png", saved(Image.fromarray(noise(5, 7)), "PNG"))
    fstat = os.fstat

    def stat_then_append(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        with path.open("ab") as file:
            file.write(b"more")
        return status

    monkeypatch.setattr("vipx.images.os.fstat", stat_then_append)
    refused(path, "changed while it was read")


def test_memory_that_runs_out_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("vipx.images.rgb_from_container", exhaust)
    with pytest.raises(ImageError, match="part: not enough memory"):
        decode_image(saved(Image.fromarray(noise(5, 7)), "PNG"), name="part")


@pytest.mark.parametrize("name", ["two\nlines", "undecodable\udcff", "\x1b[31mred"])
def test_names_stay_on_one_printable_line(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(b"", name=name)
    assert str(caught.value).isprintable()


@pillow_13
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(518, 518), (40, 33), (7, 300)])
def test_resize_equals_resizing_the_file_s_own_mode(mode: str, size: tuple[int, int]) -> None:
    picture = Image.fromarray(noise(90, 70)).convert(mode)
    height, width = size
    expected = picture.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    got = resize_image(np.asarray(picture.convert("RGB")), height=height, width=width)
    assert np.array_equal(got, np.asarray(expected))


def torchvision_resize(path: Path, height: int, width: int) -> np.ndarray:
    transforms = pytest.importorskip("torchvision.transforms")
    resize = transforms.Resize((height, width), transforms.InterpolationMode.BICUBIC)
    with Image.open(path) as picture:
        assert picture.mode in ("L", "RGB")
        return np.asarray(resize(picture).convert("RGB"))


@pillow_13
@pytest.mark.slow  # torchvision takes seconds to import
def test_read_and_resize_equal_torchvision_bit_for_bit(tmp_path: Path) -> None:
    pictures = {"rgb.png": noise(61, 83), "grey.png": noise(61, 83)[..., 0], "a.jpg": scene(61, 83)}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / name)
        got = resize_image(read_image(tmp_path / name), height=42, width=56)
        assert np.array_equal(got, torchvision_resize(tmp_path / name, 42, 56))


@pillow_13
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pictures are not on this machine")
def test_shared_pictures_equal_torchvision_bit_for_bit() -> None:
    paths = [path for path in sorted(SHARED.rglob("*")) if path.suffix in (".png", ".jpg")]
    for path in paths[::60]:
        with Image.open(path) as picture:
            plain = picture.mode in ("L", "RGB")
        if plain:
            got = resize_image(read_image(path), height=518, width=518)
            assert np.array_equal(got, torchvision_resize(path, 518, 518)), path


@pytest.mark.parametrize(
    ("size", "scaled", "expected"),
    [
        ((90, 120), (37, 41), "f6a515e292f8fae8"),
        ((200, 60), (50, 40), "52b2938a84290e34"),
        ((40, 300), (60, 70), "db60e5f94e58e65c"),
    ],
)
def test_resize_gives_the_same_bytes_with_every_pillow(
    size: tuple[int, int], scaled: tuple[int, int], expected: str
) -> None:
    """The digests are of Pillow 13; Pillow 12 alone gives others where columns come first."""
    row, column = np.mgrid[: size[0], : size[1]]
    channels = [
        (7 * column**2 + 31 * row) % 256,
        (5 * row**2 + 13 * column) % 251,
        row * column % 241,
    ]
    image = np.stack(channels, axis=-1).astype(np.uint8)
    resized = resize_image(image, height=scaled[0], width=scaled[1])
    assert hashlib.sha256(resized.tobytes()).hexdigest()[:16] == expected


@pillow_13
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_resize_equals_pillow_s_own(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    own = Image.fromarray(image).resize(scaled[::-1], Image.Resampling.BICUBIC)
    got = resize_image(image, height=scaled[0], width=scaled[1])
    assert np.array_equal(got, np.asarray(own))


@given(SIDES, SIDES)
def test_resize_to_the_same_size_changes_nothing(height: int, width: int) -> None:
    image = noise(height, width)
    assert resize_image(image, height=height, width=width) is image
    mask = image[..., 0] > 128
    assert np.array_equal(resize_mask(mask, height=height, width=width), mask)


@given(SIDES, SIDES, SIDES, SIDES, st.booleans())
def test_uniform_pictures_and_masks_stay_uniform(
    height: int, width: int, new_height: int, new_width: int, defect: bool
) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    got = resize_image(image, height=new_height, width=new_width)
    assert got.shape == (new_height, new_width, 3)
    assert (got == 200).all()
    mask = resize_mask(np.full((height, width), defect), height=new_height, width=new_width)
    assert mask.shape == (new_height, new_width)
    assert (mask == defect).all()


@pillow_13
@given(SIDES, SIDES, SIDES, SIDES)
def test_mask_resize_equals_the_published_one(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    mask = noise(height, width)[..., 0] > 128
    grey = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
    published = np.asarray(grey.resize((new_width, new_height), Image.Resampling.BILINEAR)) / 255
    assert np.array_equal(resize_mask(mask, height=new_height, width=new_width), published > 0.5)


def test_mask_is_true_above_0_at_any_depth(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2, 255]], np.uint8)
    expected = [[False, True, True, True]]
    Image.fromarray(labels).save(tmp_path / "grey.png")
    wide = labels.astype("<u2")  # scaled to 8 bits, the labels 1 and 2 would vanish
    Image.frombytes("I;16", (4, 1), wide.tobytes()).save(tmp_path / "wide.png")
    Image.fromarray(labels > 0).save(tmp_path / "bits.png")
    for name in ("grey.png", "wide.png", "bits.png"):
        assert read_mask(tmp_path / name).tolist() == expected
    palette = Image.fromarray(labels, "P")
    palette.putpalette([0, 0, 0] + [128, 0, 0] * 255)
    palette.save(tmp_path / "palette.png")
    assert read_mask(tmp_path / "palette.png").tolist() == expected


def test_mask_is_true_above_the_grey_value_asked_for(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 9, 127, 128, 255]], np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", above=127).tolist() == [[False] * 3 + [True] * 2]
    assert read_mask(tmp_path / "mask.png").tolist() == [[False] + [True] * 4]


def test_mask_that_cannot_be_read_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"mask\.png: no such file"):
        read_mask(tmp_path / "mask.png")


def test_listing_keeps_the_order_given_and_sorts_within_folders(tmp_path: Path) -> None:
    for name in (
        "b/2.PNG",
        "b/10.jpg",
        "b/a/z.tiff",
        "b/a.bmp",
        "b/notes.txt",
        "c.heic",
        "b/x.gif",
    ):
        write(tmp_path / name)
    for name in ("b/.hidden.png", "b/.cache/1.png", "b/.DS_Store"):
        write(tmp_path / name)
    listing = list_images([tmp_path / "missing.png", tmp_path / "b", tmp_path / "c.heic"])
    assert [each.relative.as_posix() for each in listing.images] == [
        "missing.png",
        "10.jpg",
        "2.PNG",
        "a/z.tiff",
        "a.bmp",
        "x.gif",
        "c.heic",
    ]
    assert listing.images[1] == ListedImage(tmp_path / "b" / "10.jpg", Path("10.jpg"))
    assert listing.passed_over == 4  # notes.txt, .hidden.png, .DS_Store and the folder .cache


def test_links_to_folders_are_passed_over_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "in" / "1.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "2.png").symlink_to(tmp_path / "in" / "1.png")
    (tmp_path / "in" / "3.png").symlink_to(tmp_path / "missing")
    (tmp_path / "given").symlink_to(tmp_path / "in")
    for folder in ("in", "given"):
        listing = list_images([tmp_path / folder])
        assert [each.relative.name for each in listing.images] == ["1.png", "2.png", "3.png"]
        assert listing.passed_over == 1


def test_a_folder_without_pictures_is_an_input_error(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no picture in this folder") as caught:
        list_images([tmp_path])
    assert "\n" not in str(caught.value)
    assert list_images([]).images == ()


def test_a_folder_that_cannot_be_listed_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", forbid)
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\)"):
        list_images([tmp_path])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from("abcAB12.-_"), min_size=1, max_size=12, unique=True))
def test_listing_does_not_depend_on_the_order_of_the_disk(
    tmp_path_factory: pytest.TempPathFactory, stems: list[str]
) -> None:
    def listed(order: Callable[[list[str]], list[str]]) -> list[str]:
        folder = tmp_path_factory.mktemp("listing")
        for stem in order(stems):
            write(folder / f"x{stem}" / "1.png")
            write(folder / f"x{stem}.png")
        return [each.relative.as_posix() for each in list_images([folder]).images]

    assert listed(sorted) == listed(lambda names: sorted(names, reverse=True))


def test_import_is_light() -> None:
    code = (
        "import sys, vipx.images\n"
        "heavy = {'torch', 'pydantic', 'rich', 'click', 'scipy', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, env={"PYTHONPATH": "."}, check=True)
