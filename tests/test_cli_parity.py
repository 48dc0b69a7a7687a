"""From checkpoint and image files to .npy, through the two commands as a user types them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.golden_case import AVAILABLE


def vipx(*arguments: object) -> str:
    command = [sys.executable, "-m", "vipx", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(AVAILABLE))
def test_commands_give_the_published_numbers(
    published_bundle: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    case, bundle = AVAILABLE[name], published_bundle(name)
    for precision, score_bound in (("fp32", 1e-6), ("fp16", 5e-3)):
        maps = tmp_path / precision
        images = case.image_paths()
        printed = vipx(
            "predict", bundle, *images, "--json", "--maps", maps, "--precision", precision
        )
        rows = [json.loads(line) for line in printed.splitlines()]
        assert [row["path"] for row in rows] == [str(path) for path in images]
        expected = case.expected
        for row, score, anomaly_map in zip(rows, expected["scores"], expected["maps"], strict=True):
            difference = np.abs(np.load(row["map"]) - anomaly_map)
            assert abs(row["score"] - score) <= score_bound
            assert difference.max() <= 1e-5 if precision == "fp32" else difference.mean() <= 1e-3
