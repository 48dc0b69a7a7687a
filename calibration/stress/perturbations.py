"""What can go wrong with a camera: light, focus, noise, compression and position, each by a stated amount."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageFilter

Pixels = UInt8[ndarray, "height width 3"]
Change = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One change by one amount.

    Attributes:
        name: What changes.
        amount: By how much, with its unit.
        change: Gives changed pixels of the same size; takes a generator where chance plays a part.
    """

    name: str
    amount: str
    change: Change


def brighter(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, factor: float
) -> UInt8[ndarray, "height width 3"]:
    """Multiply every value; what exceeds white is white."""
    return np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)


def blurred(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, share: float
) -> UInt8[ndarray, "height width 3"]:
    """Smooth by a Gaussian whose deviation is a share of the shorter side."""
    radius = share * min(pixels.shape[:2])
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def noisy(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, deviation: float
) -> UInt8[ndarray, "height width 3"]:
    """Add Gaussian noise of its own to every value, in grey levels."""
    noise = generator.normal(scale=deviation, size=pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def compressed(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, quality: int
) -> UInt8[ndarray, "height width 3"]:
    """Save as JPEG and read again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def shifted(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, share: float
) -> UInt8[ndarray, "height width 3"]:
    """Move by a share of each side, in one of four directions by chance; what comes in is mirrored."""
    height, width = pixels.shape[:2]
    down, right = (
        round(share * side) * int(sign)
        for side, sign in zip((height, width), generator.choice([-1, 1], 2), strict=True)
    )
    pad = ((abs(down), abs(down)), (abs(right), abs(right)), (0, 0))
    large = np.pad(pixels, pad, mode="symmetric")
    top, left = abs(down) - down, abs(right) - right
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def rotated(
    pixels: UInt8[ndarray, "height width 3"], generator: np.random.Generator, *, degrees: float
) -> UInt8[ndarray, "height width 3"]:
    """Turn about the middle, to one of both sides by chance; corners are filled with the mirrored picture."""
    height, width = pixels.shape[:2]
    margin = int(np.ceil(max(height, width) * np.sin(np.radians(degrees)))) + 1
    large = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    angle = degrees * int(generator.choice([-1, 1]))
    turned = np.array(Image.fromarray(large).rotate(angle, Image.Resampling.BICUBIC))
    return np.ascontiguousarray(turned[margin : margin + height, margin : margin + width])


PERTURBATIONS: tuple[Perturbation, ...] = (
    *(
        Perturbation("brightness", f"{percent:+} %", partial(brighter, factor=1 + percent / 100))
        for percent in (-20, -10, 10, 20)
    ),
    *(
        Perturbation("blur", f"{share:.1%} of the side", partial(blurred, share=share))
        for share in (0.003, 0.006, 0.012)
    ),
    *(
        Perturbation("noise", f"{level} grey levels", partial(noisy, deviation=float(level)))
        for level in (2, 5, 10)
    ),
    *(
        Perturbation("JPEG", f"quality {quality}", partial(compressed, quality=quality))
        for quality in (90, 70, 50)
    ),
    *(
        Perturbation("shift", f"{share:.0%} of the side", partial(shifted, share=share))
        for share in (0.01, 0.03)
    ),
    *(
        Perturbation("rotation", f"{degrees}°", partial(rotated, degrees=float(degrees)))
        for degrees in (1, 3)
    ),
)
