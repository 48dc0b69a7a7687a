"""Pages of files that are mapped can be let go of, and nothing is lost by it."""

import mmap
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.tiny import noise_images
from vipx.runtime.engines import openvino
from vipx.runtime.engines.mapped import release_mapped_pages

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SIZE = 4 << 20


def resident(path: Path) -> int:
    """Bytes of a file's mappings that are in this process's memory."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if "-" in fields[0]:
            ours = fields[-1] == str(path.resolve())
        elif ours and fields[0] == "Rss:":
            found += 1024 * int(fields[1])
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.data"
    path.write_bytes(np.random.default_rng(0).bytes(SIZE))
    return path


@linux
def test_resident_pages_are_dropped_and_read_again(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        content = bytes(mapped)
        assert resident(file) == SIZE
        assert release_mapped_pages(file.parent) == SIZE
        assert resident(file) == 0
        assert bytes(mapped) == content


@linux
def test_what_a_process_could_have_written_is_left_alone(file: Path) -> None:
    kinds = {"flags": mmap.MAP_PRIVATE, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, **kinds) as mapped:
        mapped[:5] = b"mine!"
        assert release_mapped_pages(file.parent) == 0
        assert mapped[:5] == b"mine!"


@linux
def test_other_folders_are_left_alone(file: Path, tmp_path: Path) -> None:
    beside = tmp_path / "weights"
    beside.mkdir()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert len(bytes(mapped)) == SIZE
        assert release_mapped_pages(beside) == 0
        assert resident(file) == SIZE


def test_where_there_is_no_such_list_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vipx.runtime.engines.mapped._MAPS", tmp_path / "none")
    assert release_mapped_pages(tmp_path) == 0
    monkeypatch.setattr(sys, "platform", "win32")
    assert release_mapped_pages(tmp_path) == 0


@linux
def test_openvino_keeps_no_page_of_the_weights_and_answers_the_same_bits(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as library

    graph = tmp_path / "encoder.onnx"
    model = onnx.load(tiny_bundle / "encoder.onnx")
    onnx.save_model(
        model,
        graph,
        save_as_external_data=True,
        location="encoder.onnx.data",
        size_threshold=0,
    )
    values = {"image": library.Tensor(np.stack(noise_images(2)))}

    def answer() -> tuple[np.ndarray, int]:
        request = openvino.Request(library.Core(), graph, "f32", 1)
        features = request.run(values)["patch_features"].data.copy()
        return features, resident(tmp_path / "encoder.onnx.data")

    released, left = answer()
    monkeypatch.setattr(openvino, "release_mapped_pages", lambda folder: 0)
    held, mapped = answer()
    np.testing.assert_array_equal(released, held)
    assert left == 0 < mapped
