"""An unmodified `tritonclient[http]` works with this server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.server.app.fakes import TOKEN, listening, served

triton_checks = pytest.importorskip("tests.runtime.server.app.triton_checks")


@pytest.fixture(scope="module")
def target() -> Iterator[object]:
    with listening(served().app) as port:
        yield triton_checks.Target(f"127.0.0.1:{port}")


@pytest.mark.parametrize("name", triton_checks.CHECKS)
def test_tritonclient(target: object, name: str) -> None:
    triton_checks.CHECKS[name](target)


def test_tritonclient_carries_the_token() -> None:
    from tritonclient.http.auth import BasicAuth

    settings: dict[str, Any] = {"host": "0.0.0.0", "hosts": ("line7",), "token": TOKEN}
    with listening(served(**settings).app) as port:
        target = triton_checks.Target(f"127.0.0.1:{port}")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert target.client().get_server_metadata(headers=headers)["name"] == "vipx"
        client = target.client()
        client.register_plugin(BasicAuth("line", TOKEN))
        assert client.is_model_ready("part")
        triton_checks.refused(lambda: target.client().get_server_metadata(), "401")
