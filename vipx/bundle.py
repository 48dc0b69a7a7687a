"""A bundle: the folder that export writes and every engine reads, trusted only after each byte was hashed."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vipx.errors import BundleError
from vipx.hashing import file_sha256
from vipx.manifest import FileRecord, Manifest, first_fault
from vipx.onnx_wire import external_data_paths

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
_UNLISTED = {MANIFEST, MANIFEST_HASH}


def onnxruntime_form_of(graph: str) -> str:
    """Name the file of ONNX Runtime's own form of a graph, which stands beside it where there is one."""
    return f"{graph.removesuffix('.onnx')}.onnxruntime.onnx"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: The folder.
        manifest: What it says of itself.
        identity: sha256 of the manifest, which names the bundle in recipes and results.
    """

    path: Path
    manifest: Manifest
    identity: str


def read_bundle(path: Path) -> Bundle:
    """Read a bundle and verify it: hashes and sizes of all files, no file more, no link, no path outwards.

    Raises:
        BundleError: Anything is not as the manifest says; the message names the file.
    """
    if not path.is_dir():
        raise BundleError(
            f"{path}: no such bundle; `vipx export` or `vipx demo --save-bundle` makes one"
        )
    present = set(_files(path))
    identity = _verified_manifest_hash(path, present)
    manifest = _parse((path / MANIFEST).read_bytes(), path / MANIFEST)
    _verify_listing(path, manifest, present)
    for name, record in manifest.files.items():
        _verify_file(path / name, record)
    _verify_graphs(path, manifest)
    return Bundle(path, manifest, identity)


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and its hash, the last files of a new bundle."""
    text = manifest.model_dump_json(indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST_HASH).write_text(_hash_line(digest), encoding="ascii")


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Hash all files of a folder, for its manifest."""
    names = sorted(set(_files(folder)) - _UNLISTED)
    return {
        name: FileRecord(sha256=file_sha256(folder / name), size=(folder / name).stat().st_size)
        for name in names
    }


def _files(folder: Path) -> Iterator[str]:
    """List files relative to the folder with '/'; a link or a special file is refused, not followed."""
    for entry in sorted(_walk(folder), key=lambda e: e.path):
        if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
            raise BundleError(
                f"{entry.path}: a bundle holds plain files only; copy the bundle again"
            )
        yield Path(entry.path).relative_to(folder).as_posix()


def _walk(folder: Path) -> Iterable["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield entry


def _verified_manifest_hash(path: Path, present: set[str]) -> str:
    for name in (MANIFEST, MANIFEST_HASH):
        if name not in present:
            raise BundleError(f"{path / name}: missing; this is not a whole bundle, copy it again")
    identity = file_sha256(path / MANIFEST)
    if (path / MANIFEST_HASH).read_bytes() != _hash_line(identity).encode():
        raise BundleError(
            f"{path / MANIFEST}: does not match {MANIFEST_HASH}; copy the bundle again"
        )
    return identity


def _hash_line(digest: str) -> str:
    """Give the line that `sha256sum --check` understands."""
    return f"{digest}  {MANIFEST}\n"


def _parse(text: bytes, path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(
            f"{path}: not a manifest that this vipx understands: {first_fault(error)}"
        ) from error


def _verify_listing(path: Path, manifest: Manifest, present: set[str]) -> None:
    listed = set(manifest.files)
    for name in sorted(present - listed - _UNLISTED):
        raise BundleError(
            f"{path / name}: not listed in the manifest; remove it or copy the bundle again"
        )
    for name in sorted(listed - present):
        raise BundleError(
            f"{path / name}: listed in the manifest but missing; copy the bundle again"
        )
    graphs = manifest.graphs
    goldens = manifest.goldens
    encoders = {encoder.file for encoder in graphs.encoders}
    used = encoders | {graphs.texts, graphs.heads, goldens.expected, *goldens.images}
    for name in sorted(used - listed):
        raise BundleError(f"{path / name}: used by the manifest but not listed among its files")


def _verify_file(path: Path, record: FileRecord) -> None:
    size = path.stat().st_size
    if size != record.size:
        raise BundleError(
            f"{path}: has {size} bytes, the manifest says {record.size}; copy the bundle again"
        )
    if file_sha256(path) != record.sha256:
        raise BundleError(
            f"{path}: its sha256 is not the manifest's; the file was changed, copy it again"
        )


def _verify_graphs(path: Path, manifest: Manifest) -> None:
    """Allow a graph exactly one file of weights, listed in the manifest: its own name with `.data`.

    ONNX Runtime's form of a graph has the weights of the graph that it is a form of.
    """
    owners = {onnxruntime_form_of(name): name for name in manifest.files if name.endswith(".onnx")}
    for name in manifest.files:
        if not name.endswith(".onnx"):
            continue
        weights = f"{owners.get(name, name)}.data"
        for location in external_data_paths(path / name):
            if location != Path(weights).name or weights not in manifest.files:
                raise BundleError(
                    f"{path / name}: refers to weights in {location!r}, outside what a bundle may read"
                )
