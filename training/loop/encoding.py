"""From examples to batches of features: read, encoded by the frozen backbone, and kept for next time."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from vipx.errors import InputError
from vipx.hashing import file_sha256
from vipx.training.data.samples import LoadedSample
from vipx.training.features.shard import StoredFeatures
from vipx.training.features.store import FeatureStore
from vipx.training.loop.examples import Example
from vipx.training.loop.settings.configuration import OptimiserSettings, Precision
from vipx.training.methods.objective import Targets
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures

AHEAD = 2
"""Batches that are read while one is learned from."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Read = LoadedSample | StoredFeatures


@dataclass(frozen=True, slots=True)
class Batch:
    """Features of images, and what the method should say of them; float32, on the run's device."""

    features: VisionFeatures
    targets: Targets


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Compute matrix products in another precision, if one is asked for."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


class Encoder:
    """Makes batches. With a store, an image goes through the backbone once; without, every time.

    Where patch features are kept as float16 they are rounded to it also when they are new, and also without a
    store: the cache does not change what is learned.
    """

    def __init__(
        self,
        backbone: Backbone,
        store: FeatureStore | None,
        optimiser: OptimiserSettings,
        workers: int,
    ) -> None:
        self._backbone = backbone
        self._store = store
        self._precision = optimiser.precision
        self._dtype = torch.float16 if optimiser.features == "float16" else torch.float32
        self._workers = workers
        self._device = backbone.pixel_mean.device
        options = backbone.vision.options
        self._height, self._width = options.height, options.width

    def batches(self, groups: Iterable[Sequence[Example]]) -> Iterator[Batch]:
        """Give a batch for each group of examples, in order; the next ones are read meanwhile."""
        coming: deque[tuple[Sequence[Example], list[Future[Read]]]] = deque()
        with ThreadPoolExecutor(self._workers) as readers:
            try:
                for group in groups:
                    coming.append((group, [readers.submit(self._read, one) for one in group]))
                    if len(coming) > AHEAD:
                        yield self._batch(*coming.popleft())
                while coming:
                    yield self._batch(*coming.popleft())
            finally:
                readers.shutdown(wait=True, cancel_futures=True)

    def missing(self, examples: Iterable[Example]) -> int:
        """Count the examples whose features are not stored yet."""
        if self._store is None:
            return 0
        return len({one.name for one in examples if one.name not in self._store})

    def flush(self) -> None:
        """Bring new features to the disk."""
        if self._store is not None:
            self._store.flush()

    def refresh(self) -> None:
        """Find features that other processes stored."""
        if self._store is not None:
            self._store.refresh()

    def _read(self, example: Example) -> Read:
        """Give stored features where there are any, otherwise pixels; runs in a thread."""
        stored = None if self._store is None else self._store.get(example.name)
        return stored or example.load(height=self._height, width=self._width)

    def _batch(self, group: Sequence[Example], reads: Sequence[Future[Read]]) -> Batch:
        found = [read.result() for read in reads]
        targets = Targets(
            labels=torch.tensor([one.label for one in group], device=self._device),
            masks=torch.from_numpy(np.stack([self._mask(one) for one in found])).to(self._device),
            known=torch.tensor([one.known for one in group], device=self._device),
        )
        return Batch(self._features(group, found), targets)

    def _features(self, group: Sequence[Example], found: Sequence[Read]) -> VisionFeatures:
        new = [
            (e, one) for e, one in zip(group, found, strict=True) if isinstance(one, LoadedSample)
        ]
        encoded = self._encoded([one for _, one in new]) if new else None
        if self._store is None and encoded is not None:
            return VisionFeatures(
                encoded.global_feature, _widened(encoded.patch_features.to(self._dtype))
            )
        stored = [one for one in found if isinstance(one, StoredFeatures)]
        if encoded is not None:
            rounded = iter(self._rounded(encoded, [self._mask(one) for _, one in new]))
            stored = [one if isinstance(one, StoredFeatures) else next(rounded) for one in found]
            for example, one in zip(group, stored, strict=True):
                self._keep(example, one)
        wholes = torch.stack([torch.from_numpy(one.global_feature) for one in stored])
        patches = torch.stack([torch.from_numpy(one.patch_features) for one in stored])
        return VisionFeatures(wholes.to(self._device), _widened(patches.to(self._device)))

    @torch.no_grad()
    def _encoded(self, pixels: Sequence[LoadedSample]) -> VisionFeatures:
        images = torch.from_numpy(np.stack([one.image for one in pixels])).to(self._device)
        # A product's rounding depends on its size. On the CPU, where it costs little, images go one by one, so
        # that their features do not depend on their neighbours, nor on how many processes share a step.
        parts = images.split(1 if self._device.type == "cpu" else len(images))
        with autocast(self._device, self._precision):
            found = [self._backbone(part) for part in parts]
        return VisionFeatures(
            torch.cat([one.global_feature for one in found]).float(),
            torch.cat([one.patch_features for one in found]).float(),
        )

    def _mask(self, one: Read) -> Bool[ndarray, "height width"]:
        if one.mask is None:
            return np.zeros((self._height, self._width), np.bool_)
        return one.mask

    def _rounded(
        self, features: VisionFeatures, masks: Sequence[Bool[ndarray, "height width"]]
    ) -> list[StoredFeatures]:
        wholes = features.global_feature.cpu().numpy()
        patches = features.patch_features.to(self._dtype).cpu().numpy()
        return [StoredFeatures(*parts) for parts in zip(wholes, patches, masks, strict=True)]

    def _keep(self, example: Example, features: StoredFeatures) -> None:
        """Store new features under the content they were computed from, if it still is that."""
        if self._store is None or example.name in self._store:
            return
        if file_sha256(example.sample.image) != example.image:
            raise InputError(f"{example.sample.image}: changed while it was read; start again")
        self._store.add(example.name, features)


def _widened(vectors: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Give float32 vectors; of unit length again where rounding has changed that by some 1e-5."""
    if vectors.dtype == torch.float32:
        return vectors
    wide = vectors.float()
    return wide.div_(torch.linalg.vector_norm(wide, dim=-1, keepdim=True))
