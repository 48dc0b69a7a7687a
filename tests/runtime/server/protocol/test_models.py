"""A recipe appears as two models with the same outputs."""

import pytest

from vipx.errors import UsageError
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.models import find_model, models_of, repository_index

MODELS = models_of([("gear", (6, 8))], 4)


def test_a_recipe_is_offered_for_pixels_and_for_files() -> None:
    assert list(MODELS) == ["gear", "gear_encoded"]
    pixels, files = (model.metadata() for model in MODELS.values())
    assert pixels["inputs"] == [{"name": "IMAGE", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert files["inputs"] == [{"name": "IMAGE", "datatype": "BYTES", "shape": [-1, 1]}]
    assert pixels["outputs"] == files["outputs"]
    assert pixels["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "anomaly_map", "datatype": "FP32", "shape": [-1, 6, 8]},
        {"name": "verdict", "datatype": "UINT8", "shape": [-1, 1]},
        {"name": "threshold", "datatype": "FP32", "shape": [-1, 1]},
    ]


def test_a_configuration_leaves_the_batch_out() -> None:
    config = MODELS["gear_encoded"].config()
    assert config["max_batch_size"] == 4
    assert config["input"] == [{"name": "IMAGE", "data_type": "TYPE_STRING", "dims": [1]}]


def test_only_the_one_version_is_found() -> None:
    assert find_model(MODELS, "gear", "1") is MODELS["gear"]
    for name, version in (("gear", "2"), ("cog", None)):
        with pytest.raises(RequestError) as caught:
            find_model(MODELS, name, version)
        assert caught.value.status == 404


def test_two_models_cannot_share_a_name() -> None:
    with pytest.raises(UsageError, match="gear_encoded"):
        models_of([("gear", (6, 8)), ("gear_encoded", (6, 8))], 4)


def test_the_index_says_whether_they_answer() -> None:
    ready = repository_index(MODELS.values(), ready=True, only_ready=True)
    assert [(one["name"], one["state"]) for one in ready] == [
        ("gear", "READY"),
        ("gear_encoded", "READY"),
    ]
    assert repository_index(MODELS.values(), ready=False, only_ready=True) == []
    assert len(repository_index(MODELS.values(), ready=False, only_ready=False)) == 2
