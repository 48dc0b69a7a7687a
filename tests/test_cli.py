"""Every command answers with data on stdout, one line for each failure, and the documented exit code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.golden_case import COMMITTED
from tests.tiny import noise_images, tiny_backbone, tiny_method
from vipx.cli import main
from vipx.errors import VipxError
from vipx.training.methods.checkpoints import save_method


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, pixels in enumerate(noise_images(2, 30, 50)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_predict_prints_one_object_a_line_in_input_order(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    files = [images / "1.png", images / "0.png"]
    result = run("predict", tiny_bundle, *files, "--json", "--maps", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["path"] for row in rows] == [str(f) for f in files]
    for row in rows:
        assert isinstance(row["score"], float)
        assert row["verdict"] == "REVIEW"
        assert row["threshold"] is None
        assert np.load(row["map"]).shape == (24, 40)
    assert "no threshold" in result.stderr


def test_predict_for_people(tiny_bundle: Path, images: Path) -> None:
    result = run("predict", tiny_bundle, images, "--threshold", 0.5)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    (engine,) = result.stderr.splitlines()
    assert "on cpu, fp32" in engine


def test_ng_is_an_exit_code_only_on_request(tiny_bundle: Path, images: Path) -> None:
    assert run("predict", tiny_bundle, images, "--threshold", 1e-6).exit_code == 0
    assert run("predict", tiny_bundle, images, "--threshold", 1e-6, "--fail-on-ng").exit_code == 10
    assert run("predict", tiny_bundle, images, "--threshold", 1.0, "--fail-on-ng").exit_code == 0


def test_bad_images_get_a_line_each_and_the_others_are_answered(
    tiny_bundle: Path, images: Path
) -> None:
    (images / "empty.png").write_bytes(b"")
    (images / "text.jpg").write_text("not a picture")
    (images / "cut.png").write_bytes((images / "0.png").read_bytes()[:200])
    Image.new("RGB", (9, 9)).save(images / "moving.gif")
    (images / "notes.txt").write_text("passed over")
    result = run("predict", tiny_bundle, images, images / "missing.png", "--json")
    assert result.exit_code == 3
    rows = {Path(r["path"]).name: r for r in map(json.loads, result.stdout.splitlines())}
    assert {n for n, r in rows.items() if r["verdict"] == "REVIEW"} == {"0.png", "1.png"}
    bad = {"empty.png", "text.jpg", "cut.png", "moving.gif", "missing.png"}
    assert {n for n, r in rows.items() if r["verdict"] == "ERROR"} == bad
    for name in bad:
        lines = [line for line in result.stderr.splitlines() if name in line]
        assert len(lines) == 1
    assert "1 files that are no images" in result.stderr


def test_a_folder_without_images_is_an_input_error(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = run("predict", tiny_bundle, tmp_path / "none")
    assert result.exit_code == 3
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict", "{none}", "{images}"], 4),
        (["show", "{none}"], 4),
        (["predict", "{bundle}", "{images}", "--precision", "int3"], 2),
        (["predict", "{bundle}", "{images}", "--threshold", "7"], 2),
        (["export", "{none}", "--backbone-weights", "{none}", "-o", "{out}"], 4),
        (["export", "{pth}", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone", "ViT-B-32", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone-weights", "{clip}", "--image-size", "abc", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone-weights", "{clip}", "--image-size", "125", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone-weights", "{clip}", "--precision", "fp8", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone-weights", "{clip}", "--image-size", "126",
          "--feature-layers", "1,2", "--top-k", "99", "-o", "{out}"], 2),
        (["export", "{pth}", "--backbone-weights", "{clip}", "--image-size", "126",
          "--feature-layers", "1,9", "--top-k", "9", "-o", "{out}"], 2),
        (["nonsense"], 2),
    ],
)  # fmt: skip
def test_mistakes_have_one_line_and_the_documented_code(
    tiny_bundle: Path, images: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    names = {
        "none": tmp_path / "none",
        "out": tmp_path / "out.vipx",
        "bundle": tiny_bundle,
        "images": images,
        "pth": COMMITTED.checkpoint,
        "clip": COMMITTED.weights,
    }
    result = run(*(a.format(**names) for a in arguments))
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    messages = [
        line for line in result.stderr.splitlines() if line.lower().startswith(("vipx: ", "error"))
    ]
    assert len(messages) == 1
    assert not (tmp_path / "out.vipx").exists()


def test_show_describes_a_bundle_for_programs_and_people(tiny_bundle: Path) -> None:
    record = json.loads(run("show", tiny_bundle, "--json").stdout)
    assert record["kind"] == "bundle"
    assert record["verified"] is True
    assert record["method"]["name"] == "vip2clip"
    text = run("show", tiny_bundle).stdout
    assert "temperature: 0.07" in text


def test_show_describes_a_published_checkpoint() -> None:
    record = json.loads(run("show", COMMITTED.checkpoint, "--json").stdout)
    assert record["kind"] == "published checkpoint"
    assert record["context_tokens"] == COMMITTED.config["n_ctx"]
    assert record["state_words_differ"] is False


def test_show_describes_a_checkpoint_of_vipx(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    save_method(tmp_path / "x.ckpt", tiny_method(backbone), backbone, training={"seed": 1})
    record = json.loads(run("show", tmp_path / "x.ckpt", "--json").stdout)
    assert record["kind"] == "checkpoint"
    assert record["training"] == {"seed": 1}


def test_show_names_the_spoiled_file(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "b.vipx"))
    with (copy / "heads.onnx").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    result = run("show", copy)
    assert result.exit_code == 4
    assert "heads.onnx" in result.stderr


def test_doctor_tries_a_bundle(tiny_bundle: Path) -> None:
    result = run("doctor", "--bundle", tiny_bundle, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["engines"][0]["works"]


def test_doctor_fails_where_nothing_works(tmp_path: Path) -> None:
    assert run("doctor", "--bundle", tmp_path).exit_code == 5


def test_exit_codes_are_those_of_the_error_tree() -> None:
    codes = {
        kind.__name__: kind.exit_code
        for kind in _tree(VipxError)
        if kind.__module__ == VipxError.__module__
    }
    assert codes == {
        "VipxError": 1, "UsageError": 2, "InputError": 3, "ImageError": 3, "ArtifactError": 4,
        "CheckpointError": 4, "BundleError": 4, "RecipeError": 4, "EngineError": 5, "GateError": 6,
        "ResourceError": 7,
    }  # fmt: skip


def _tree(kind: type[VipxError]) -> list[type[VipxError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from vipx.cli import main;"
        "CliRunner().invoke(main, ['--help']);"
        "heavy = {'torch', 'numpy', 'PIL', 'pydantic', 'rich', 'onnxruntime'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_message_with_line_breaks_stays_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    name = tmp_path / "two\nlines.png"
    result = run("predict", tiny_bundle, name, "--threshold", 0.5)
    assert result.exit_code == 3
    _, *lines = result.stderr.strip().splitlines()  # the first one names the engine
    assert len(lines) == 1
