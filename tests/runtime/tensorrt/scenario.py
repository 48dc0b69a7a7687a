"""Programs on a machine with a fake TensorRT: what a test starts to be killed, to crash, or to meet another.

python -m tests.runtime.tensorrt.scenario compile HOW      the compiler, as vipx starts it
python -m tests.runtime.tensorrt.scenario build BUNDLE     a builder, which tells what it does
"""

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.cuda.fakes import fake_libcuda, fake_modules
from tests.runtime.tensorrt.fake import Behaviour, fake_tensorrt
from vipx.runtime.cuda import driver
from vipx.runtime.engines.tensorrt import builder, compiler
from vipx.runtime.engines.tensorrt.builder import Compile
from vipx.runtime.engines.tensorrt.building import Wish, build_engines

ROOT = Path(__file__).parents[3]
PROGRAM = ("-m", "tests.runtime.tensorrt.scenario")


def install(behaviour: Behaviour) -> None:
    device = FakeDevice()
    sys.modules.update(fake_modules(device))
    sys.modules["tensorrt"] = fake_tensorrt("10.16", device, behaviour)
    setattr(driver, "load_library", lambda _: fake_libcuda(device))  # noqa: B010 - not its type


def compile_badly(how: str) -> None:
    def during(_: str) -> None:
        print("a library says something", flush=True)
        if how == "segfault":
            print("assertion in a kernel", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "slow":
            time.sleep(0.2)

    fail = "cudaMalloc: out of memory" if how == "memory" else ""
    install(Behaviour(during=during, fail=fail))
    compiler.main()


def build(bundle: str, compile_plan: Compile = compiler.compile_plan) -> None:
    """Build, and say each step; each takes a little."""
    install(Behaviour(during=lambda _: time.sleep(0.05)))
    built = build_engines(Path(bundle), Wish(), lambda s: print(s, flush=True), compile_plan)
    print("built", sum(plan.seconds > 0 for plan in built.plans), flush=True)


def build_with_child(bundle: str) -> None:
    """Build as vipx does, the compiler in a process of its own."""
    program = (*PROGRAM, "compile", "slow")
    build(bundle, functools.partial(builder.compile_in_child, program=program))


if __name__ == "__main__":
    commands: dict[str, Callable[[str], None]] = {
        "compile": compile_badly,
        "build": build,
        "build-with-child": build_with_child,
    }
    commands[sys.argv[1]](sys.argv[2])
