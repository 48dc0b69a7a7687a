"""A real Triton with the models of `fakes`; run by a Python that has nvidia-pytriton (VIPX_TRITON_PYTHON).

uv venv /tmp/triton && uv pip install --python /tmp/triton nvidia-pytriton pillow
VIPX_TRITON_PYTHON=/tmp/triton/bin/python pytest tests/runtime/server/app/test_real_triton.py

python real_triton.py HTTP_PORT GRPC_PORT METRICS_PORT          # until its standard input ends
"""

import io
import sys
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from pytriton.decorators import batch  # type: ignore[import-not-found, unused-ignore]
from pytriton.model_config import (  # type: ignore[import-not-found, unused-ignore]
    ModelConfig,
    Tensor,
)
from pytriton.triton import (  # type: ignore[import-not-found, unused-ignore]
    Triton,
    TritonConfig,
    TritonSecurityConfig,
)

SIZE = (6, 8)
OUTPUTS = [
    Tensor(name="score", dtype=np.float32, shape=(1,)),
    Tensor(name="anomaly_map", dtype=np.float32, shape=(-1, -1)),
    Tensor(name="verdict", dtype=np.uint8, shape=(1,)),
    Tensor(name="threshold", dtype=np.float32, shape=(1,)),
]


def answers(scores: np.ndarray) -> dict[str, np.ndarray]:
    column = scores.astype(np.float32)[:, None]
    return {
        "score": column,
        "anomaly_map": np.broadcast_to(column[:, :, None], (len(scores), *SIZE)).copy(),
        "verdict": (column >= 0.5).astype(np.uint8),
        "threshold": np.full_like(column, 0.5),
    }


@batch  # type: ignore[untyped-decorator, unused-ignore]
def inspect(IMAGE: np.ndarray) -> dict[str, np.ndarray]:  # noqa: N803 - the tensor's name
    return answers(IMAGE.reshape(len(IMAGE), -1).mean(axis=1) / 255)


@batch  # type: ignore[untyped-decorator, unused-ignore]
def inspect_files(IMAGE: np.ndarray) -> dict[str, np.ndarray]:  # noqa: N803
    return answers(np.array([brightness(data) for data in IMAGE[:, 0]]))


def brightness(data: bytes) -> float:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return float(np.asarray(image.convert("RGB")).mean() / 255)
    except UnidentifiedImageError as error:
        raise ValueError(f"no picture: {error}") from error


def main(http: int, grpc: int, metrics: int) -> None:
    config = TritonConfig(
        http_address="127.0.0.1", http_port=http, grpc_port=grpc, metrics_port=metrics
    )
    inputs: dict[str, tuple[Any, Tensor]] = {
        "part": (inspect, Tensor(name="IMAGE", dtype=np.uint8, shape=(-1, -1, 3))),
        "part_encoded": (inspect_files, Tensor(name="IMAGE", dtype=np.bytes_, shape=(1,))),
    }
    # By default pytriton closes statistics and the repository, which a plain Triton answers.
    everything = TritonSecurityConfig(restricted_endpoints=[])
    with Triton(config=config, security_config=everything) as triton:
        for name, (function, taken) in inputs.items():
            config = ModelConfig(max_batch_size=8)
            triton.bind(name, function, [taken], OUTPUTS, config=config)
        triton.run()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
