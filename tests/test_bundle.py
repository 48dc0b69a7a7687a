"""A bundle is trusted only as it was written: every other one is refused, and the file is named."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vipx.bundle import MANIFEST, MANIFEST_HASH, file_records, read_bundle, seal
from vipx.errors import BundleError
from vipx.manifest import Manifest


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.vipx"))


def reseal(bundle: Path, **changes: object) -> None:
    """Write a manifest whose hashes are right, as an attacker would."""
    manifest = Manifest.model_validate_json((bundle / MANIFEST).read_bytes())
    seal(bundle, manifest.model_copy(update={"files": file_records(bundle)} | changes))


def test_a_copied_bundle_is_the_same_bundle(tiny_bundle: Path, bundle: Path) -> None:
    assert read_bundle(bundle).identity == read_bundle(tiny_bundle).identity


def test_any_flipped_bit_in_any_file_is_found(bundle: Path) -> None:
    files = sorted(p for p in bundle.rglob("*") if p.is_file())
    assert len(files) > 8

    @settings(
        max_examples=80,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(files), st.integers(0, 2**62), st.integers(0, 7))
    def flip(path: Path, where: int, bit: int) -> None:
        whole = path.read_bytes()
        spoiled = bytearray(whole)
        spoiled[where % len(whole)] ^= 1 << bit
        path.write_bytes(spoiled)
        try:
            with pytest.raises(BundleError) as caught:
                read_bundle(bundle)
            assert path.name in str(caught.value) or path.name == MANIFEST_HASH
            assert "\n" not in str(caught.value)
        finally:
            path.write_bytes(whole)

    flip()
    read_bundle(bundle)


@pytest.mark.parametrize("name", ["extra.bin", "goldens/extra.png", ".hidden", "deep/er/file"])
def test_an_unlisted_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["heads.onnx", "goldens/000.png", MANIFEST, MANIFEST_HASH])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["heads.onnx", MANIFEST])
def test_a_link_is_refused_even_to_the_right_bytes(bundle: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (bundle / name).rename(outside)
    (bundle / name).symlink_to(outside)
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle)


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "goldens").rename(tmp_path / "goldens")
    (bundle / "goldens").symlink_to(tmp_path / "goldens", target_is_directory=True)
    with pytest.raises(BundleError, match="goldens"):
        read_bundle(bundle)


def test_a_pipe_is_refused_and_not_read(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    with pytest.raises(BundleError, match="pipe"):
        read_bundle(bundle)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "goldens/../../x", "heads.onnx"])
def test_weights_outside_the_bundle_are_refused_though_all_hashes_are_right(
    bundle: Path, location: str
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bundle / "heads.onnx")
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    (bundle / "heads.onnx").write_bytes(model.SerializeToString())
    reseal(bundle)
    with pytest.raises(BundleError, match=r"heads\.onnx.*outside"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "name", ["../up.onnx", "/abs.onnx", "a/../b.onnx", ".hid", "a//b", "a/b/c"]
)
def test_a_manifest_cannot_name_files_elsewhere(bundle: Path, name: str) -> None:
    record = json.loads((bundle / MANIFEST).read_text())
    record["graphs"]["heads"] = name
    _write_manifest(bundle, record)
    with pytest.raises(BundleError, match=r"graphs\.heads"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema_version", 2), ("surprise", 1), ("created", 7), ("files", {}), ("parity", None)],
)
def test_a_manifest_of_another_shape_is_refused(bundle: Path, key: str, value: object) -> None:
    record = json.loads((bundle / MANIFEST).read_text())
    record[key] = value
    _write_manifest(bundle, record)
    with pytest.raises(BundleError):
        read_bundle(bundle)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=MANIFEST):
        read_bundle(tmp_path)


def test_the_hash_is_what_sha256sum_checks(tiny_bundle: Path) -> None:
    line = (tiny_bundle / MANIFEST_HASH).read_text()
    assert line == f"{read_bundle(tiny_bundle).identity}  {MANIFEST}\n"


def _write_manifest(bundle: Path, record: dict[str, object]) -> None:
    import hashlib

    text = json.dumps(record).encode()
    (bundle / MANIFEST).write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    (bundle / MANIFEST_HASH).write_text(f"{digest}  {MANIFEST}\n")
