"""The images on which an export is judged: the user's own, or parts that vipx draws."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from vipx.images import list_images, read_image, resize_image
from vipx.training.data.procedural import UNSEEN, draw_part

MAX_GOLDENS = 8


def golden_images(
    folder: Path | None, *, height: int, width: int
) -> Sequence[UInt8[ndarray, "height width 3"]]:
    """Give two to eight RGB images at the input size.

    Args:
        folder: Images of the user, the first eight are taken; None draws a good and two defective parts.
        height: Input height in pixels.
        width: Input width in pixels.

    Raises:
        InputError: The folder holds no images.
        ImageError: An image cannot be read.
    """
    if folder is not None:
        chosen = list_images([folder]).images[:MAX_GOLDENS]
        return [resize_image(read_image(i.path), height=height, width=width) for i in chosen]
    kinds = [(UNSEEN[0], None), (UNSEEN[1], "random"), (UNSEEN[-1], "random")]
    return [
        draw_part(category, seed, height=height, width=width, defect=defect).image
        for seed, (category, defect) in enumerate(kinds)
    ]
