"""The committed inventories are those of the real bindings, whose classes take ours as they are used.

Needs unpacked wheels, a folder each (`10.3`, ...), where VIPX_TENSORRT_BINDINGS says, and a C compiler:
docs/tensorrt.md says how to get them. Everything runs in a process of its own, without NVIDIA's libraries.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.tensorrt.fake import API, VERSIONS
from tests.runtime.tensorrt.scenario import ROOT

BINDINGS = os.environ.get("VIPX_TENSORRT_BINDINGS", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINDINGS, reason="VIPX_TENSORRT_BINDINGS names no folder of wheels"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the stub libraries"),
]
# What runs of ours without a GPU: names are found, our classes derive from real ones, callbacks arrive.
CHECK = """
import sys, tensorrt_bindings as library
sys.modules["tensorrt"] = library
from vipx.runtime.engines.tensorrt import library as ours
trt = ours.load_tensorrt()
logger = ours.new_logger(trt)
logger.log(trt.ILogger.ERROR, "a  word"); logger.log(trt.ILogger.WARNING, "no word")
assert isinstance(logger, trt.ILogger) and logger.errors == ["a word"]
told = []
monitor = ours.new_monitor(trt, lambda *step: told.append(step), lambda: len(told) > 2)
monitor.phase_start("p", "", 3)
assert monitor.step_complete("p", 0) and not monitor.step_complete("p", 1)
monitor.phase_finish("p")
assert isinstance(monitor, trt.IProgressMonitor) and told[-1] == ("p", 3, 3)
flags = ours.network_flags(trt, strong=True)
old = ours.version_of(trt) < (11,)
assert flags == (1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if old else 0)
assert ours.may_type_weakly(trt) == (ours.version_of(trt) < (10, 12))
assert {"FLOAT", "HALF", "UINT8"} <= set(trt.DataType.__members__) and trt.DataType.HALF.name == "HALF"
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    for generation in ("10", "11"):
        (folder / generation).mkdir()
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            soname = f"lib{name}.so.{generation}"
            target = folder / generation / soname
            command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(target)]
            subprocess.run([*command, str(API / "stub.c")], check=True)
    return folder


def run(version: str, stubs: Path, *arguments: object) -> None:
    paths = {
        "LD_LIBRARY_PATH": str(stubs / version.split(".")[0]),
        "PYTHONPATH": os.pathsep.join((str(Path(BINDINGS) / version), str(ROOT))),
    }
    subprocess.run([sys.executable, *map(str, arguments)], check=True, env=os.environ | paths)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_inventory_is_the_real_one(version: str, stubs: Path, tmp_path: Path) -> None:
    written = tmp_path / "inventory.json"
    run(version, stubs, API / "inventory.py", "tensorrt_bindings", written)
    assert written.read_text() == (API / f"{version}.json").read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_real_classes_take_ours(version: str, stubs: Path) -> None:
    run(version, stubs, "-c", CHECK)
