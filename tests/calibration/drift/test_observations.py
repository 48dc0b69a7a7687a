"""Scores are read as they were written, in the order of their making; a bad line is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from vipx.calibration.drift.observations import read_observations
from vipx.errors import InputError
from vipx.runtime.prediction import Row

NOW = "2026-11-21T08:00:00.000000Z"


def written(folder: Path, text: str) -> Path:
    path = folder / "scores"
    path.write_text(text)
    return path


def test_rows_of_predict_are_read_and_errors_counted(tmp_path: Path) -> None:
    good = Row("a.png", 0.25, "OK", 0.5, "", NOW).record()
    failed = Row("b.png", None, "ERROR", 0.5, "", NOW, failure="input").record()
    found = read_observations(written(tmp_path, f"{json.dumps(good)}\n\n{json.dumps(failed)}\n"))
    assert [one.score for one in found.images] == [0.25]
    assert found.images[0].camera == ""
    assert found.passed_over == 1


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    row = {"score": 0.5, "camera": "left", "time": "2026-11-21T08:00:00Z", "features": [0.6, -0.8]}
    read = []
    text = "path,score,camera,time,features\nx.png,0.5,left,2026-11-21T08:00:00Z,0.6 -0.8\n"
    for content in (json.dumps(row), text):
        found = read_observations(written(tmp_path, content))
        read.append(found.images[0])
        assert found.passed_over == 0
    for one in read:
        assert (one.score, one.camera, one.time) == (0.5, "left", "2026-11-21T08:00:00Z")
        assert one.features is not None
        assert np.array_equal(one.features, np.array([0.6, -0.8], np.float32))


def test_images_are_put_in_the_order_of_their_times(tmp_path: Path) -> None:
    times = ["2026-11-21T08:00:00+01:00", "2026-11-21T06:30:00Z", "2026-11-21T07:30:00+00:00"]
    lines = [json.dumps({"score": i, "time": time}) for i, time in enumerate(times)]
    found = read_observations(written(tmp_path, "\n".join(lines)))
    assert [one.score for one in found.images] == [1, 0, 2]
    without = [*lines, json.dumps({"score": 9})]
    found = read_observations(written(tmp_path, "\n".join(without)))
    assert [one.score for one in found.images] == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected JSON lines, or CSV"),
        ("path,value\na,1\n", "a column named score"),
        ("path,score\na,\n", "holds no score"),
        ("path,score\na,0.1\nb,high\n", "line 3: score: expected a finite number"),
        ('{"score": 0.1}\n{"score": NaN}', "line 2: score: expected a finite number"),
        ('{"score": 0.1}\n{"score": ', "line 2: no JSON"),
        ('{"score": 0.1}\n{"path": "a"}', "line 2: expected an object with a score"),
        ('{"score": 0.1}\n[1]', "line 2: expected an object with a score"),
        ('{"score": 0.1, "features": "left"}', "line 1: features: expected a finite number"),
        ('{"score": 0.1, "features": 3}', "line 1: features: expected a list"),
        ('{"score": 0.1, "time": "yesterday"}', "ISO 8601"),
        (
            '{"score": 0.1, "time": "2026-11-21T08:00:00"}\n'
            '{"score": 0.1, "time": "2026-11-21T08:00:00Z"}',
            "with a zone everywhere or nowhere",
        ),
    ],
)
def test_what_is_no_score_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_observations(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_observations(tmp_path / "none.csv")
    path = tmp_path / "bytes"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="UTF-8"):
        read_observations(path)
