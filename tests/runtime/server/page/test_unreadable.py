"""What the screens say while the database cannot be read: an answer for people, with the alarm above it."""

from pathlib import Path

import httpx2
import pytest

from tests.runtime.server.page.line import FakeLine, photo

RESULT = "/results/01ARZ3NDEKTSV4RRFFQ69G5FAV"


def breaks(folder: Path) -> None:
    """What a disk may do to a file under a running server."""
    for path in folder.glob("results.sqlite*"):
        path.write_bytes(b"this is no database" * 1000)


@pytest.mark.parametrize("path", ["/", "/try", "/history", RESULT, "/threshold", "/system"])
def test_every_screen_shows_the_alarm_though_the_database_cannot_be_read(
    tmp_path: Path, path: str
) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        breaks(tmp_path)
        answer = await client.post("/v1/inspect?recipe=bolt", content=photo(200))
        assert (answer.json()["verdict"], answer.json()["stored"]) == ("NG", False)
        screen = await client.get(path)
        assert screen.headers["content-type"].startswith("text/html")
        assert "Results are not stored" in screen.text
        assert screen.headers["content-security-policy"].startswith("default-src 'self'")
        assert screen.status_code == (503 if path in ("/history", RESULT, "/threshold") else 200)

    FakeLine(tmp_path).run(use)


def test_programs_are_told_in_json_that_the_database_cannot_be_read(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        breaks(tmp_path)
        answer = await client.get("/threshold/scores?recipe=bolt")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]

    FakeLine(tmp_path).run(use)
