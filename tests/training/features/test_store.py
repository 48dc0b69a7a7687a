"""Stored features come back as they were, never for another image, and damage is noticed."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_backbone, tiny_clip
from vipx.errors import InputError, ResourceError
from vipx.hashing import file_sha256
from vipx.training.features import identity
from vipx.training.features.identity import FileIdentities
from vipx.training.features.key import FeatureKey, feature_key
from vipx.training.features.shard import (
    DamagedShardError,
    RecordShape,
    Shard,
    StoredFeatures,
    write_shard,
)
from vipx.training.features.store import FeatureStore
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import LoadedClip

OPTIONS = VisionOptions(height=24, width=40, feature_layers=(1, 2))


def features(shape: RecordShape, seed: int = 0) -> StoredFeatures:
    rng = np.random.default_rng(seed)
    return StoredFeatures(
        rng.normal(size=shape.dim).astype(np.float32),
        rng.normal(size=(shape.layers, shape.patches, shape.dim)).astype(shape.stored),
        rng.random((shape.height, shape.width)) > 0.5,
    )


def same(a: StoredFeatures | None, b: StoredFeatures) -> bool:
    return a is not None and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in StoredFeatures.__slots__
    )


@pytest.fixture
def key() -> FeatureKey:
    return feature_key(tiny_backbone(OPTIONS), "fp32")


def opened(root: Path, key: FeatureKey, said: list[str] | None = None) -> FeatureStore:
    return FeatureStore(root, key, (said if said is not None else []).append)


@settings(deadline=None, max_examples=25)
@given(
    stored=st.sampled_from(["float16", "float32"]),
    dim=st.integers(1, 9),
    layers=st.integers(1, 3),
    patches=st.integers(1, 6),
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    count=st.integers(1, 4),
)
def test_a_shard_gives_back_every_bit(
    tmp_path_factory: pytest.TempPathFactory,
    stored: Literal["float16", "float32"],
    dim: int,
    layers: int,
    patches: int,
    size: tuple[int, int],
    count: int,
) -> None:
    shape = RecordShape(dim, layers, patches, *size, stored)
    records = {f"image {number}": features(shape, number) for number in range(count)}
    path = tmp_path_factory.mktemp("shards") / "a.features"
    write_shard(path, shape, records)
    shard = Shard(path, shape)
    assert shard.names == tuple(records)
    assert all(same(shard.read(n), one) for n, one in enumerate(records.values()))


@settings(deadline=None, max_examples=40)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_changed_byte_is_served(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    shape = RecordShape(3, 1, 2, 4, 5)
    path = tmp_path_factory.mktemp("shards") / "a.features"
    written = features(shape)
    write_shard(path, shape, {"a": written})
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(bytes(data))
    try:
        shard = Shard(path, shape)
        found = shard.read(0)
    except DamagedShardError:
        return
    # What is left is padding between the parts, and the record's name, which is then another one.
    assert same(found, written)


def test_added_features_are_there_at_once_and_for_the_next_run(
    tmp_path: Path, key: FeatureKey
) -> None:
    store = opened(tmp_path, key)
    one = features(store.shape)
    store.add("a", one)
    assert "a" in store
    assert same(store.get("a"), one)
    assert "a" not in opened(tmp_path, key)
    store.flush()
    assert same(store.get("a"), one)
    assert same(opened(tmp_path, key).get("a"), one)
    assert store.get("b") is None


def test_runs_share_a_folder(tmp_path: Path, key: FeatureKey) -> None:
    first, second = opened(tmp_path, key), opened(tmp_path, key)
    first.add("a", features(first.shape, 1))
    second.add("b", features(second.shape, 2))
    first.flush()
    second.flush()
    assert "b" not in first
    first.refresh()
    second.refresh()
    for store in (first, second):
        assert same(store.get("a"), features(store.shape, 1))
        assert same(store.get("b"), features(store.shape, 2))


@pytest.mark.parametrize("damage", ["cut", "empty", "header", "record", "foreign"])
def test_damaged_files_are_told_removed_and_computed_again(
    tmp_path: Path, key: FeatureKey, damage: str
) -> None:
    store = opened(tmp_path, key)
    store.add("a", features(store.shape))
    store.flush()
    [path] = store.folder.glob("*.features")
    data = path.read_bytes()
    spoiled = {
        "cut": data[:-7],
        "empty": b"",
        "header": data[:20] + b"\0\0" + data[22:],
        "record": data[:-500] + bytes([data[-500] ^ 1]) + data[-499:],
        "foreign": b"something else entirely" * 9,
    }
    path.write_bytes(spoiled[damage])
    said: list[str] = []
    again = opened(tmp_path, key, said)
    assert again.get("a") is None
    assert "a" not in again
    assert len(said) == 1
    assert str(path) in said[0]
    again.add("a", features(store.shape, 3))
    again.flush()
    silent: list[str] = []
    assert same(opened(tmp_path, key, silent).get("a"), features(store.shape, 3))
    assert not silent


def test_a_full_disk_is_told_before_the_first_image(
    tmp_path: Path, key: FeatureKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, key)
    assert store.check_room(10) == 10 * store.shape.size
    free = SimpleNamespace(free=10 * store.shape.size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(ResourceError, match="--no-cache"):
        store.check_room(10)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, key: FeatureKey) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        opened(tmp_path / "file", key)


def test_whatever_changes_a_feature_changes_the_key(key: FeatureKey) -> None:
    def variant(options: VisionOptions = OPTIONS, precision: str = "fp32", **loaded: str) -> str:
        clip = LoadedClip(tiny_clip(), "tiny", loaded.get("sha256", "0" * 64))
        backbone = Backbone(clip, options, "gelu" if "gelu" in loaded else None)
        return feature_key(backbone, precision).digest

    variants = [
        key.digest,
        variant(sha256="1" * 64),
        variant(gelu="yes"),
        variant(precision="bf16"),
        variant(replace(OPTIONS, height=40, width=24)),
        variant(replace(OPTIONS, height=32)),
        variant(replace(OPTIONS, feature_layers=(2,))),
        variant(replace(OPTIONS, pos_embed_resample="bicubic")),
        variant(replace(OPTIONS, cls_ln_post=True)),
        replace(key, heads=4).digest,
        replace(key, stored="float32").digest,
        replace(key, pixel_mean=(0.5, 0.5, 0.5)).digest,
        replace(key, preprocessing="another Pillow").digest,
    ]
    assert len(set(variants)) == len(variants)
    assert variant() == key.digest
    assert replace(key, backbone=replace(key.backbone, name="renamed.pt")).digest == key.digest


def test_content_decides_and_a_remembered_hash_only_saves_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "RACY_SECONDS", -1.0)
    file, memory = tmp_path / "a.png", tmp_path / "cache" / "files.json"
    file.write_bytes(b"one")
    files = FileIdentities(memory)
    first = files.sha256(file)
    assert first == file_sha256(file)
    files.save()
    with monkeypatch.context() as never:
        never.setattr(identity, "file_sha256", lambda _: pytest.fail("was hashed again"))
        assert FileIdentities(memory).sha256(file) == first
    stat = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size, and a forged time
    assert FileIdentities(memory).sha256(file) == file_sha256(file) != first


def test_a_file_that_has_just_changed_is_hashed_again(tmp_path: Path) -> None:
    file, memory = tmp_path / "a.png", tmp_path / "files.json"
    file.write_bytes(b"one")
    files = FileIdentities(memory)
    files.sha256(file)
    files.save()
    assert not memory.exists()


def test_a_broken_memory_of_hashes_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "files.json").write_text("[1, 2")
    (tmp_path / "a").write_bytes(b"one")
    assert FileIdentities(tmp_path / "files.json").sha256(tmp_path / "a")


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png"):
        FileIdentities(None).sha256(tmp_path / "none.png")
