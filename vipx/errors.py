"""Every error that a user of vipx can act on.

    VipxError                    1  anything a user can act on; the message says what, where and the remedy
    ├── UsageError               2  options that contradict one another or the file they name
    ├── InputError               3  an image, a folder or a dataset cannot be used
    │   └── ImageError           3  one image file cannot be read
    ├── ArtifactError            4  a file that a stage hands to the next cannot be trusted or understood
    │   ├── CheckpointError      4  a checkpoint or the backbone's weights
    │   ├── BundleError          4  a bundle
    │   └── RecipeError          4  a recipe
    ├── EngineError              5  an engine, or a package that it needs, is not there or does not start
    ├── GateError                6  a parity, threshold or regression gate failed
    └── ResourceError            7  memory, disk or time ran out

The number is the exit code of the command line. Whatever is not a VipxError is a bug of vipx and keeps its
traceback.
"""

__all__ = [
    "ArtifactError",
    "BundleError",
    "CheckpointError",
    "EngineError",
    "GateError",
    "ImageError",
    "InputError",
    "RecipeError",
    "ResourceError",
    "UsageError",
    "VipxError",
    "short_reason",
]


class VipxError(Exception):
    """A failure that the user can act on; `str(error)` is one line for a person."""

    exit_code = 1


class UsageError(VipxError):
    """Options contradict one another, or the file they are used with."""

    exit_code = 2


class InputError(VipxError):
    """An image, a folder of images or a dataset cannot be used."""

    exit_code = 3


class ImageError(InputError):
    """One image file cannot be read."""


class ArtifactError(VipxError):
    """A file that one stage hands to the next cannot be trusted or understood."""

    exit_code = 4


class CheckpointError(ArtifactError):
    """A checkpoint, or the weights of its backbone, cannot be trusted or understood."""


class BundleError(ArtifactError):
    """A bundle cannot be trusted or understood."""


class RecipeError(ArtifactError):
    """A recipe was changed, is for another bundle, or cannot be understood."""


class EngineError(VipxError):
    """An engine, or a package that it needs, is missing or does not start."""

    exit_code = 5


class GateError(VipxError):
    """A parity, threshold or regression gate failed; nothing was written."""

    exit_code = 6


class ResourceError(VipxError):
    """Memory, disk space or time ran out."""

    exit_code = 7


def short_reason(error: BaseException, most: int = 200) -> str:
    """Give what a library said as one line of at most `most` characters, to stand in a message of ours."""
    return " ".join(str(error).split())[:most]
