"""Says which files of a verified bundle an engine runs."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.bundle import Bundle
from vipx.errors import BundleError, UsageError
from vipx.manifest import Precision
from vipx.runtime.engines.engine import Model


def model_of(
    bundle: Bundle,
    precision: Precision | None = None,
    texts: Float32[ndarray, "texts dim"] | None = None,
) -> Model:
    """Choose the encoder of a precision, and where the texts come from.

    Args:
        bundle: A bundle whose files were all hashed.
        precision: None takes the one that the bundle names first.
        texts: Embeddings that a recipe folded for its site; then no prompts graph is loaded.

    Raises:
        UsageError: The bundle has no encoder of this precision.
        BundleError: The bundle's text embeddings are no finite float32 array of the backbone's width.
    """
    manifest, folder = bundle.manifest, bundle.path
    graphs, encoder = manifest.graphs, manifest.encoder(precision)
    if encoder is None:
        held = ", ".join(e.precision for e in graphs.encoders)
        raise UsageError(
            f"{folder}: has no {precision} encoder (it has: {held}); export it again with it"
        )
    dim = manifest.backbone.embed_dim
    if texts is None and graphs.text_embeddings is not None:
        texts = _read_texts(folder / graphs.text_embeddings)
    if texts is not None:
        _check_texts(texts, dim, folder / (graphs.text_embeddings or "folded texts"))
    prompts = graphs.prompts if texts is None else None
    return Model(
        name=str(folder),
        identity=bundle.identity,
        precision=encoder.precision,
        encoder=folder / encoder.file,
        prompts=None if prompts is None else folder / prompts,
        texts=texts,
        heads=folder / graphs.heads,
        size=(manifest.input.height, manifest.input.width),
        folder=folder,
        sha256={name: record.sha256 for name, record in manifest.files.items()},
    )


def _read_texts(path: Path) -> Float32[ndarray, "..."]:
    try:
        texts = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BundleError(f"{path}: not an array that numpy reads ({error})") from error
    if not isinstance(texts, ndarray) or texts.dtype != np.float32:
        raise BundleError(f"{path}: expected a float32 array; export it again")
    return texts


def _check_texts(texts: Float32[ndarray, "..."], dim: int, where: Path) -> None:
    if texts.ndim != 2 or texts.shape[1] != dim:
        raise BundleError(f"{where}: expected a float32 array [texts, {dim}]; export it again")
    if not np.isfinite(texts).all():
        raise BundleError(f"{where}: holds numbers that are not finite; export it again")
