"""NVIDIA's own parser and compiler take a bundle's graphs through `compile_plan`, and fuse every attention.

The compiler is TensorRT-RTX's, which needs no GPU. VIPX_TENSORRT_RTX names the unpacked wheel,
VIPX_TENSORRT_BINDINGS the bindings (see test_bindings.py), and VIPX_RTX_BUNDLE a bundle with an FP16 encoder,
whose heads are 64 wide: docs/benchmarks/2026-11-21-tensorrt-rtx.md says how it was made, and what came out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.tensorrt.fake import API
from tests.runtime.tensorrt.scenario import ROOT

NAMES = ("VIPX_TENSORRT_RTX", "VIPX_TENSORRT_BINDINGS", "VIPX_RTX_BUNDLE")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(os.environ.get, NAMES)), reason=f"not all set: {NAMES}"),
]
COMPILE = """
import json, sys, tensorrt_bindings
from vipx.runtime.engines.tensorrt import compiler
sys.modules["tensorrt"] = tensorrt_bindings
compiler.probe_cuda = lambda: 13000  # there is no driver, and this compiler needs none
phases = set()
request = compiler.Request(**json.loads(sys.argv[1]))
compiler.compile_plan(request, lambda phase, *_: phases.add(phase))
assert phases, "the real builder called our monitor"
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    shim, library = tmp_path_factory.mktemp("shim"), Path(os.environ["VIPX_TENSORRT_RTX"])
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        soname = f"lib{name}.so.11"
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(shim / soname)]
        subprocess.run([*command, str(API / "rtx_shim.c"), "-ldl"], check=True)
    bindings = Path(os.environ["VIPX_TENSORRT_BINDINGS"]) / "11.4"
    return {
        "RTX": str(next(library.rglob("libtensorrt_rtx.so.1.*"))),
        "PARSER": str(next(library.rglob("libtensorrt_onnxparser_rtx.so.1.*"))),
        "LD_LIBRARY_PATH": str(shim),
        "PYTHONPATH": os.pathsep.join((str(bindings), str(ROOT))),
    }


@pytest.mark.parametrize("role", ["encoder", "prompts", "heads"])
def test_nvidias_compiler_takes_the_graph_and_fuses_every_attention(
    role: str, environment: dict[str, str], tmp_path: Path
) -> None:
    bundle = Path(os.environ["VIPX_RTX_BUNDLE"])
    name = "encoder.fp16.onnx" if role == "encoder" else f"{role}.onnx"
    request = {
        "graph": str(bundle / name),
        "plan": str(tmp_path / "plan"),
        "batch": 1,
        "typing": "strong",
        "workspace": 1 << 30,
        "level": 3,
        "timings": str(tmp_path / "timings"),
    }
    program = [sys.executable, "-c", COMPILE, json.dumps(request)]
    subprocess.run(program, check=True, env=os.environ | environment)
    fused = (tmp_path / "plan").read_bytes().count(b"__global__ void _gemm_mha_v2")
    blocks = json.loads((bundle / "manifest.json").read_text())["backbone"]["vision_layers"]
    assert fused == (blocks if role == "encoder" else 0)
