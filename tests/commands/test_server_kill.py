"""The whole server, killed while it works: what it acknowledged is there, and it is back within seconds."""

import os
from pathlib import Path

import pytest

from benchmarks.server.kills import kill_repeatedly


@pytest.mark.slow
def test_a_killed_server_lost_nothing_and_is_back_soon(tmp_path: Path) -> None:
    found = kill_repeatedly(tmp_path, 30 if os.environ.get("VIPX_FULL") == "1" else 3)
    print(found)
    assert 0 < found.acknowledged <= found.rows
    assert max(found.starts_s[1:]) < (5 if os.environ.get("VIPX_FULL") == "1" else 30)
