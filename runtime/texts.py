"""Where the heads' texts come from: a graph that sees the image, or an array that is the same for all."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vipx.errors import BundleError
from vipx.manifest import Manifest
from vipx.runtime.engines.engine import Tensors


@runtime_checkable
class Texts(Protocol):
    """What an inspector needs of its prompts; every engine has it."""

    def run(self, feeds: Tensors) -> dict[str, ndarray]:
        """Give `text_embeddings` for a batch of `global_feature`."""

    def close(self) -> None:
        """Free what is held."""


class ConstantTexts:
    """Text embeddings that no image changes."""

    def __init__(self, embeddings: Float[ndarray, "texts dim"]) -> None:
        self._embeddings = embeddings

    @classmethod
    def read(cls, path: Path, *, manifest: Manifest) -> "ConstantTexts":
        """Read a bundle's array.

        Raises:
            BundleError: It is no finite float32 array of the backbone's width.
        """
        try:
            embeddings = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BundleError(f"{path}: not an array that numpy reads ({error})") from error
        dim = manifest.backbone.embed_dim
        whole = isinstance(embeddings, ndarray) and embeddings.dtype == np.float32
        if not whole or embeddings.ndim != 2 or embeddings.shape[1] != dim:
            raise BundleError(f"{path}: expected a float32 array [texts, {dim}]; export it again")
        if not np.isfinite(embeddings).all():
            raise BundleError(f"{path}: holds numbers that are not finite; export it again")
        return cls(embeddings)

    def run(self, feeds: Tensors) -> dict[str, ndarray]:
        """Repeat the embeddings for every image of the batch."""
        batch = feeds["global_feature"].shape[0]
        return {"text_embeddings": np.repeat(self._embeddings[None], batch, axis=0)}

    def close(self) -> None:
        """Nothing is held but memory."""
