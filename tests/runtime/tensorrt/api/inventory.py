"""Writes what a version of TensorRT's Python bindings offers: every class, attribute and enum member, by name.

The committed files hold names and no code; the fake TensorRT of the tests has exactly what they name. How the
four were written (wheels of the bindings, Python 3.11, libraries replaced by stubs) stands in docs/tensorrt.md:

    LD_LIBRARY_PATH=stub/11 PYTHONPATH=bindings/11.4 python inventory.py tensorrt_bindings 11.4.json
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def inventory(library: ModuleType) -> dict[str, Any]:
    """List public names: enums with their members' values, classes with their attributes, and the rest."""
    public = {name: getattr(library, name) for name in dir(library) if not name.startswith("_")}
    enums = {n: v for n, v in public.items() if isinstance(v, type) and hasattr(v, "__members__")}
    classes = {n: v for n, v in public.items() if isinstance(v, type) and n not in enums}
    return {
        "version": library.__version__,
        "enums": {
            name: {member: int(value) for member, value in enum.__members__.items()}
            for name, enum in enums.items()
        },
        "classes": {
            name: [a for a in dir(kind) if not a.startswith("_")] for name, kind in classes.items()
        },
        "other": sorted(set(public) - set(enums) - set(classes)),
    }


def main(module: str, target: str) -> None:
    """Write the inventory of an importable module."""
    record = inventory(importlib.import_module(module))
    lines = [f'"version": {json.dumps(record["version"])}']
    for part in ("enums", "classes"):
        entries = (
            f"{json.dumps(n)}: {json.dumps(v, sort_keys=True)}" for n, v in record[part].items()
        )
        lines.append(f'"{part}": {{\n' + ",\n".join(entries) + "\n}")
    lines.append(f'"other": {json.dumps(record["other"])}')
    Path(target).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
