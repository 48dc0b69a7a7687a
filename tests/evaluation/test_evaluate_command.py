"""`vipx eval`: bundles without PyTorch, checkpoints with it, the same figures from both."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.evaluation.fakes import write_tree
from tests.golden_case import COMMITTED
from vipx.commands.evaluate import evaluate
from vipx.console import VipxGroup
from vipx.demo import DEMO_BUNDLE
from vipx.evaluation.results import METRICS, read_results
from vipx.training.methods.checkpoints import save_method

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(VipxGroup(commands=[evaluate]), ["eval", *map(str, arguments)])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden method as a checkpoint of vipx, which knows its input size."""
    path = tmp_path_factory.mktemp("checkpoint") / "golden.ckpt"
    detector = COMMITTED.detector()
    save_method(path, detector.method, detector.backbone, training={})
    return path


def test_a_checkpoint_and_its_bundle_have_the_same_figures(
    golden_bundle: Path, checkpoint: Path, tree: Path, tmp_path: Path
) -> None:
    where = ("--dataset", "mvtec", "--root", tree, "--categories", "bolt", "--limit", 4)
    bundle = run(golden_bundle, *where, "--out", tmp_path / "bundle")
    assert bundle.exit_code == 0, bundle.output
    weights = ("--backbone-weights", COMMITTED.weights)
    torch = run(checkpoint, *where, *weights, "--out", tmp_path / "torch", "--json")
    assert torch.exit_code == 0, torch.output
    results = read_results(tmp_path / "torch")
    assert json.loads(torch.stdout) == results.model_dump(mode="json")
    assert (results.model.kind, results.model.engine) == ("checkpoint", "torch")
    out = ("--out", tmp_path / "both", "--json")
    both = run("--compare", tmp_path / "torch", tmp_path / "bundle", *out)
    assert both.exit_code == 0, both.output
    record = json.loads(both.stdout)
    assert record["scores"]["images"] == 4
    assert record["scores"]["most"] <= 1e-5
    assert record["mean"]["pixel_auroc"] == pytest.approx(0.0, abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == [
        "comparison.json",
        "report.html",
    ]


def test_a_table_is_printed_for_people(golden_bundle: Path, tree: Path) -> None:
    result = run(golden_bundle, "--dataset", "mvtec", "--root", tree, "--limit", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["percent", "good", "bad", *METRICS]
    assert [line.split()[0] for line in lines[1:]] == ["bolt", "nut", "mean"]


def test_a_bundle_is_evaluated_without_pytorch(tree: Path) -> None:
    code = (
        "import sys, click\n"
        "from vipx.commands.evaluate import evaluate\n"
        "evaluate(sys.argv[1:], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules\n"
    )
    options = ["--dataset", "mvtec", "--root", str(tree), "--limit", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(DEMO_BUNDLE), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["kind"] == "bundle"


def test_parts_can_be_drawn_where_there_is_no_data(golden_bundle: Path) -> None:
    options = ("--dataset", "procedural", "--categories", "knit", "--limit", 4, "--json")
    result = run(golden_bundle, *options)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [(c["good"], c["anomalous"]) for c in record["categories"]] == [(2, 2)]
    assert record["data"]["root"] is None


def test_an_output_that_exists_is_refused_before_any_work(tree: Path, tmp_path: Path) -> None:
    result = run("missing.vipx", "--dataset", "mvtec", "--root", tree, "--out", tmp_path)
    assert result.exit_code == 2
    assert "already exists" in result.stderr


def test_options_that_contradict_are_told_in_one_line(golden_bundle: Path, tree: Path) -> None:
    data = ("--dataset", "mvtec", "--root", tree)
    for arguments, code, message in (
        ((), 2, "expected a checkpoint or a bundle"),
        ((golden_bundle,), 2, "--dataset"),
        ((golden_bundle, *data, "--compare", "a", "b"), 2, "neither a model nor a dataset"),
        ((golden_bundle, *data, "--backbone-weights", "clip.pt"), 2, "leave the backbone's"),
        ((golden_bundle, *data, "--categories", "bolt,,nut"), 2, "expected names"),
        ((golden_bundle, *data, "--categories", "screw"), 2, "screw"),
        ((tree / "none.ckpt", *data), 4, "no such checkpoint or bundle"),
        (("--compare", tree, tree), 3, "cannot be read"),
    ):
        result = run(*arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert message in result.stderr
        assert not isinstance(result.exception, (TypeError, KeyError))


def test_a_checkpoint_runs_in_one_precision(checkpoint: Path, tree: Path) -> None:
    weights = ("--backbone-weights", COMMITTED.weights, "--precision", "fp16")
    result = run(checkpoint, "--dataset", "mvtec", "--root", tree, *weights)
    assert result.exit_code == 2
    assert "evaluated in fp32" in result.stderr
