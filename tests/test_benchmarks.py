"""The measuring scripts run; what they measure is kept in docs/benchmarks/."""

import pytest
from click.testing import CliRunner

from benchmarks import tail_latency


@pytest.mark.slow
def test_tails_are_timed_in_turns_and_agree() -> None:
    options = ["--width", "64", "--text-layers", "1", "--side", "126", "--rounds", "2"]
    result = CliRunner().invoke(tail_latency.main, options)
    assert result.exit_code == 0, result.output
    assert "ratio, pair by pair" in result.output
    assert float(result.output.split()[-1]) < 1e-5
