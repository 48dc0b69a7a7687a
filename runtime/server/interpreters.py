"""Processes of the server's own: fresh interpreters that see its modules and nothing else of it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

# Neither the current folder nor the environment adds a module.
_CODE: Final = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*map(int, sys.argv[3:]))"
)


def start_interpreter(
    module: str, numbers: Sequence[int], descriptors: Sequence[int]
) -> "subprocess.Popen[bytes]":
    """Start a process that calls a module's `main`.

    Args:
        module: Its full name.
        numbers: What `main` is given.
        descriptors: Open files that the process has too, under the same numbers.

    Raises:
        OSError: No process can be started.
    """
    paths = json.dumps([path for path in sys.path if path])
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _CODE, paths, module, *map(str, numbers)],
        stdin=subprocess.DEVNULL,
        stdout=2,  # stdout belongs to the server's caller
        pass_fds=tuple(descriptors),
    )
