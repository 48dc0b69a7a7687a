"""What a stored feature depends on besides the image: one cache folder for each such key."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import PIL

from vipx.images import resize_image, resize_mask
from vipx.training.model.backbone import Backbone, BackboneIdentity
from vipx.training.model.vision import VisionOptions

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """Everything but the image that changes a feature.

    Attributes:
        backbone: Hash of the parameters, and the activation.
        heads: Attention heads, which the parameters' shapes do not tell.
        pixel_mean: Of the backbone's input, per channel.
        pixel_deviation: The same.
        vision: Input size, layers, and how positions are stretched.
        dim: Width of a feature.
        patches: Patches of an image.
        precision: Of the vision tower's arithmetic.
        stored: Of the patch features as they are kept.
        preprocessing: Hash of what decoding and resizing make of a test pattern.
        format: Version of the files.
    """

    backbone: BackboneIdentity
    heads: int
    pixel_mean: tuple[float, ...]
    pixel_deviation: tuple[float, ...]
    vision: VisionOptions
    dim: int
    patches: int
    precision: str
    stored: Literal["float16", "float32"]
    preprocessing: str
    format: int = FORMAT

    @property
    def text(self) -> str:
        """Give the key as JSON, for people and for its hash; the backbone's name is none of its numbers."""
        record = asdict(self)
        del record["backbone"]["name"]
        return json.dumps(record, indent=1, sort_keys=True)

    @property
    def digest(self) -> str:
        """Give the name of the key's folder."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def feature_key(
    backbone: Backbone, precision: str, stored: Literal["float16", "float32"] = "float16"
) -> FeatureKey:
    """Collect what the features of a backbone depend on."""
    vision = backbone.vision
    rows, columns = vision.grid
    return FeatureKey(
        backbone=backbone.identity,
        heads=vision.visual.transformer.resblocks[0].attn.num_heads,
        pixel_mean=tuple(backbone.pixel_mean.tolist()),
        pixel_deviation=tuple(backbone.pixel_deviation.tolist()),
        vision=vision.options,
        dim=backbone.dim,
        patches=rows * columns,
        precision=precision,
        stored=stored,
        preprocessing=preprocessing_sha256(vision.options.height, vision.options.width),
    )


def preprocessing_sha256(height: int, width: int) -> str:
    """Hash what a test pattern becomes, and the decoder's version: another Pillow is another key."""
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    mask = noise[..., 0] > 127
    digest = hashlib.sha256(PIL.__version__.encode())
    digest.update(resize_image(noise, height=height, width=width).tobytes())
    digest.update(resize_mask(mask, height=height, width=width).tobytes())
    return digest.hexdigest()
