"""The documents tell the truth: commands run, links lead somewhere, no command is left out.

A fenced `sh`, `bash` or `console` block of README.md is run, unless the comment above it says
`<!-- not run: the reason -->`. In other documents only blocks under `<!-- runnable -->` are run.
The blocks of one document are run in its order, in one temporary folder, as a reader would; those
under `<!-- slow -->` apart from the others. In `console` blocks the lines behind `$ ` are the
commands. In the folder lie stand-ins for what a reader brings: `checkpoint.pth` and
`ViT-L-14-336px.pt`, in the published formats and of the published depth, but a few channels wide.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import torch
from safetensors.torch import load_file

from tests.checkout import ROOT, files
from tests.golden_case import COMMITTED
from vipx import errors
from vipx.cli import main

README = ROOT / "README.md"
DOCUMENTS = sorted(files(".md"))
BLOCK = re.compile(
    r"(?:^<!-- *(?P<comment>[^\n]*?) *-->\n)?"
    r"^```(?P<language>sh|bash|console)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")
NOT_RUN = "not run:"
SLOW = "slow"
LONGEST_SECONDS = 300


@dataclass(frozen=True)
class Block:
    """One fenced block of shell commands."""

    document: Path
    line: int
    comment: str
    script: str

    @property
    def runs(self) -> bool:
        if self.document == README:
            return not self.comment.startswith(NOT_RUN)
        return self.comment in ("runnable", SLOW)

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def _blocks(document: Path) -> list[Block]:
    text = document.read_text()
    return [
        Block(
            document,
            text.count("\n", 0, match.start("text")) + 1,
            match["comment"] or "",
            _script(match["language"], match["text"]),
        )
        for match in BLOCK.finditer(text)
    ]


def _script(language: str, text: str) -> str:
    if language != "console":
        return text
    return "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))


BLOCKS = [block for document in DOCUMENTS for block in _blocks(document)]
QUICK_RUNS = sorted({block.document for block in BLOCKS if block.runs and block.comment != SLOW})
SLOW_RUNS = sorted({block.document for block in BLOCKS if block.comment == SLOW})


def _commands() -> dict[str, click.Command]:
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(path, marks=pytest.mark.slow if path == README else (), id=path.name)
        for path in QUICK_RUNS
    ],
)
def test_commands_of_a_document_run(document: Path, tmp_path: Path) -> None:
    _run([block for block in _blocks(document) if block.comment != SLOW], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("document", SLOW_RUNS, ids=lambda path: path.name)
def test_slow_commands_of_a_document_run(document: Path, tmp_path: Path) -> None:
    _stand_ins(tmp_path)
    _run([block for block in _blocks(document) if block.comment == SLOW], tmp_path)


def _run(blocks: list[Block], folder: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks:
        if not block.runs:
            continue
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert result.returncode == 0, f"{block}\n{block.script}\n{result.stdout}{result.stderr}"


def _stand_ins(folder: Path) -> None:
    """Write the committed golden case under a reader's file names, its blocks repeated to 24."""
    state = load_file(COMMITTED.weights)
    ids, rows = state.pop("token_embedding.ids"), state.pop("token_embedding.rows")
    table = rows.new_zeros(COMMITTED.config["vocab"], rows.shape[1])
    table[ids] = rows
    state["token_embedding.weight"] = table
    prefix, depth = "visual.transformer.resblocks.", COMMITTED.config["vision_layers"]
    for block in range(depth, 24):
        source = f"{prefix}{block % depth}."
        for name in [name for name in state if name.startswith(source)]:
            state[f"{prefix}{block}.{name.removeprefix(source)}"] = state[name]
    torch.save(state, folder / "ViT-L-14-336px.pt")
    shutil.copy(COMMITTED.checkpoint, folder / "checkpoint.pth")


def test_a_block_that_does_not_run_says_why() -> None:
    silent = [
        str(block)
        for block in BLOCKS
        if not block.runs and len(block.comment.removeprefix(NOT_RUN).split()) < 3
    ]
    assert not silent


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_commands_and_options_exist(block: Block) -> None:
    for line in block.script.replace("\\\n", " ").splitlines():
        match = re.match(r"(?:\S*/)?vipx +([a-z][a-z-]*)(.*)", line)
        if match is None:
            continue
        command = _commands()[match[1]]
        while isinstance(command, click.Group):
            command = command.commands[
                next(word for word in match[2].split() if word in command.commands)
            ]
        known = {name for parameter in command.params for name in parameter.opts}
        written = set(re.findall(r"(?<= )--?[a-z][a-z-]*", match[2].split("#")[0]))
        assert written <= known, f"{block}: {written - known}"


@pytest.mark.parametrize("name", _commands())
def test_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\bvipx {name}\b", README.read_text())


@pytest.mark.parametrize("name", _commands())
def test_command_and_its_options_have_help(name: str) -> None:
    command = _commands()[name]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert command.help
    assert not [option.opts for option in options if not option.help]


def test_readme_lists_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)
    classes = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert {error.exit_code for error in classes} <= set(map(int, rows))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(FENCED.sub("", document.read_text()))
    assert not [target for target in targets if not (document.parent / target).exists()]
