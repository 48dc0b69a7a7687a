"""The models that recipes appear as, and how the protocol describes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from vipx.errors import UsageError
from vipx.runtime.server.protocol.faults import RequestError, shown

VERSION: Final = "1"
ENCODED: Final = "_encoded"
INPUT: Final = "IMAGE"
OUTPUTS: Final = ("score", "anomaly_map", "verdict", "threshold")
PLATFORM: Final = "vipx"

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: a recipe that takes pixels, or the same recipe that takes picture files.

    Attributes:
        name: In the protocol.
        recipe: That answers.
        takes: `pixels` (UINT8 RGB) or `files` (BYTES: JPEG, PNG, BMP or TIFF).
        size: Height and width of its anomaly map.
        most_images: Of one request.
    """

    name: str
    recipe: str
    takes: Literal["pixels", "files"]
    size: tuple[int, int]
    most_images: int

    def metadata(self) -> Json:
        """Describe inputs and outputs as `GET /v2/models/NAME` does."""
        tensors = [_tensor(name, kind, [-1, *dims]) for name, kind, dims in self._outputs()]
        name, kind, dims = self._input()
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": [_tensor(name, kind, [-1, *dims])],
            "outputs": tensors,
        }

    def config(self) -> Json:
        """Describe the model as Triton's configuration does; the batch dimension is not among `dims`."""
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": PLATFORM,
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": self.most_images,
            "input": [_configured(*self._input())],
            "output": [_configured(*output) for output in self._outputs()],
        }

    def _input(self) -> tuple[str, str, list[int]]:
        return (INPUT, "UINT8", [-1, -1, 3]) if self.takes == "pixels" else (INPUT, "BYTES", [1])

    def _outputs(self) -> list[tuple[str, str, list[int]]]:
        kinds = ("FP32", "FP32", "UINT8", "FP32")
        dims = ([1], list(self.size), [1], [1])
        return list(zip(OUTPUTS, kinds, dims, strict=True))


def models_of(
    recipes: Iterable[tuple[str, tuple[int, int]]], most_images: int
) -> dict[str, ServedModel]:
    """Make both models of each recipe (its name and map size).

    Raises:
        UsageError: Two models would have the same name.
    """
    models: dict[str, ServedModel] = {}
    for recipe, size in recipes:
        for model in (
            ServedModel(recipe, recipe, "pixels", size, most_images),
            ServedModel(recipe + ENCODED, recipe, "files", size, most_images),
        ):
            if model.name in models:
                raise UsageError(f"two models would be called {model.name}; rename a recipe")
            models[model.name] = model
    return models


def find_model(
    models: Mapping[str, ServedModel], name: str, version: str | None = None
) -> ServedModel:
    """Find a model by its name, in any version or in the one that there is.

    Raises:
        RequestError: There is none (404).
    """
    model = models.get(name)
    if model is None:
        raise RequestError(f"no model is called {shown(name)}", status=404)
    if version is not None and version != VERSION:
        raise RequestError(
            f"{shown(name)} has no version {shown(version)}, only {VERSION}", status=404
        )
    return model


def repository_index(models: Iterable[ServedModel], *, ready: bool, only_ready: bool) -> list[Json]:
    """List the models as `POST /v2/repository/index` does; they are all ready or none is."""
    if only_ready and not ready:
        return []
    state: Json = {"state": "READY"} if ready else {"state": "UNAVAILABLE", "reason": "the engine"}
    return [{"name": model.name, "version": VERSION} | state for model in models]


def _tensor(name: str, datatype: str, shape: list[int]) -> Json:
    return {"name": name, "datatype": datatype, "shape": shape}


def _configured(name: str, datatype: str, dims: list[int]) -> Json:
    kind = "STRING" if datatype == "BYTES" else datatype
    return {"name": name, "data_type": f"TYPE_{kind}", "dims": dims}
