"""Who is answered: hosts, origins, tokens, roles; each row of the matrix is a test."""

import base64
from typing import Any

import pytest

from tests.runtime.server.app.fakes import PASSWORD, TOKEN, Served, error_of, served
from vipx.errors import UsageError
from vipx.runtime.server.app.safety.destinations import own_path
from vipx.runtime.server.app.safety.passwords import check_line, hash_password, is_password
from vipx.runtime.server.settings import Limits, ServerSettings

OPEN: dict[str, Any] = {
    "host": "0.0.0.0",
    "hosts": ("line7", "line7.plant.example"),
    "token": TOKEN,
}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LINE = hash_password(PASSWORD)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]", "[::1]:8000"],
)
def test_loopback_names_are_answered(host: str) -> None:
    assert served().ask("GET", "/v2", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "localhost:8000:1",
        "user@localhost",
        "localhost/evil",
        "",
        ":8000",
        "[::1",
        "line7",
    ],
)
def test_other_hosts_are_refused_whatever_is_asked(host: str) -> None:
    for method, path in (("GET", "/v2"), ("POST", "/v1/inspect"), ("GET", "/v2/health/live")):
        error_of(served().ask(method, path, headers={"Host": host}), 400)


def test_two_hosts_are_refused() -> None:
    headers = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    error_of(served().ask("GET", "/v2", headers=headers), 400)


def test_a_listed_name_is_answered() -> None:
    server = served(**OPEN)
    for host in ("line7", "LINE7:8000", "line7.plant.example", "127.0.0.1"):
        assert server.ask("GET", "/v2", headers={"Host": host} | BEARER).status_code == 200
    error_of(server.ask("GET", "/v2", headers={"Host": "line8"} | BEARER), 400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1.evil.example:8000"},
        {"Origin": "file://127.0.0.1:8000"},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/inspect", "/v2/models/part/infer", "/session"])
def test_another_site_changes_nothing(headers: dict[str, str], path: str) -> None:
    server = served()
    error_of(server.ask("POST", path, headers=headers, content=b"x"), 403)
    assert server.pool.tasks == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_programs_and_our_own_pages_are_answered(headers: dict[str, str]) -> None:
    answer = served().ask("POST", "/v2/repository/index", headers=headers)
    assert answer.status_code == 200


def test_no_answer_is_offered_to_other_sites() -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        answer = served().ask(method, "/v2", headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2"), ("GET", "/none"), ("POST", "/v1/inspect"), ("PUT", "/v2")]
)
def test_every_answer_is_kept_in_its_place(method: str, path: str) -> None:
    headers = served().ask(method, path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


BROWSER = {"Accept": "text/html,*/*"}
WRONG = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Bearer {TOKEN.upper()}"},
    {"Authorization": TOKEN},
    {"Authorization": f"Token {TOKEN}"},
    {"Authorization": basic(TOKEN, "")},
    {"Authorization": basic("x", TOKEN + "x")},
    {"Authorization": "Basic not-base64!"},
    {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
    {"Cookie": f"vipx_session={TOKEN}"},
    {"Cookie": "vipx_session="},
    {"X-Token": TOKEN},
]


@pytest.mark.parametrize("headers", WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_without_the_token_nothing_is_answered(headers: dict[str, str]) -> None:
    server = served(**OPEN)
    for method, path in (
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/none"),
        ("POST", "/v1/inspect"),
        ("POST", "/v2/models/part/infer"),
    ):
        answer = server.ask(method, path, headers=headers)
        error_of(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert server.pool.tasks == []


def test_a_token_in_the_address_is_no_token() -> None:
    error_of(served(**OPEN).ask("GET", f"/v2?token={TOKEN}"), 401)


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("", TOKEN), basic("anyone", TOKEN)]
)
def test_the_token_opens_by_bearer_and_basic(value: str) -> None:
    assert served(**OPEN).ask("GET", "/v2", headers={"Authorization": value}).status_code == 200


def test_health_and_login_need_no_token() -> None:
    server = served(**OPEN)
    for path in ("/v2/health/live", "/v2/health/ready", "/session"):
        assert server.ask("GET", path).status_code == 200
    for path in ("/static/../metrics", "/v2/health/live/", "/v2/health"):
        error_of(server.ask("GET", path), 401)


def test_a_person_is_sent_to_the_login_page() -> None:
    answer = served(**OPEN).ask("GET", "/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(
    ("asked", "after"),
    [
        ("/system", "/system"),
        ("/history?verdict=NG&part_id=a%20b", "/history%3Fverdict%3DNG%26part_id%3Da%2520b"),
        ("/results/01K?x=%2F%2Fevil.example", "/results/01K%3Fx%3D%252F%252Fevil.example"),
        ("/?next=//evil.example", "/%3Fnext%3D//evil.example"),
    ],
)
def test_a_person_comes_back_to_what_was_asked_for(asked: str, after: str) -> None:
    answer = served(**OPEN).ask("GET", asked, headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={after}")


@pytest.mark.parametrize(
    "asked", ["//evil.example/x", "//evil.example", "/\\evil.example", "/%0d%0aX: 1"]
)
def test_an_address_cannot_send_a_person_elsewhere(asked: str) -> None:
    async def use(client: Any) -> Any:
        request = client.build_request("GET", "/", headers=BROWSER)
        request.url = request.url.copy_with(raw_path=asked.encode())
        return await client.send(request)

    answer = served(**OPEN).with_client(use)
    assert answer.status_code == 303
    assert answer.headers["location"] in ("/login", "/login?next=/%250d%250aX%3A%25201")


def test_programs_get_401_and_no_page() -> None:
    server = served(**OPEN)
    for method, accept in (("GET", "application/json"), ("GET", "*/*"), ("POST", "text/html")):
        error_of(server.ask(method, "/history", headers={"Accept": accept}), 401)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/history",
        "/history?a=b&c=d",
        "/results/01K",
        "/a//b",
        "/login-page",
        "/x?next=http://y",
    ],
)
def test_own_paths_are_kept(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "history",
        "http://evil.example/",
        "https:evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/ /evil.example",
        "\t//evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/é",
        "/\u2028x",
        "/" + "x" * 3000,
        "/login",
        "/login/?next=/login",
        "//[",
    ],
)
def test_every_other_destination_becomes_the_start_page(text: str) -> None:
    assert own_path(text) == "/"


def session_of(server: Served, secret: str, **options: Any) -> list[Any]:
    """Log in, and say what role the session then has, with what the cookie says of itself."""

    async def use(client: Any) -> list[Any]:
        opened = await client.post("/session", json={"secret": secret}, **options)
        role = (await client.get("/session")).json()["role"]
        ended = await client.delete("/session")
        after = (await client.get("/session")).json()["role"]
        return [opened, role, ended.status_code, after]

    found: list[Any] = server.with_client(use)
    return found


def test_an_engineer_logs_in_and_out() -> None:
    opened, role, ended, after = session_of(served(engineer=LINE), PASSWORD)
    cookie = opened.headers["set-cookie"]
    assert (opened.status_code, role, ended, after) == (204, "engineer", 204, "operator")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_the_token_makes_an_operator_and_no_engineer() -> None:
    opened, role, _, after = session_of(served(**OPEN, engineer=LINE), TOKEN)
    assert (opened.status_code, role, after) == (204, "operator", None)


def test_without_a_password_nobody_becomes_engineer() -> None:
    for secret in (PASSWORD, "", "scrypt", TOKEN):
        opened, role, *_ = session_of(served(), secret)
        assert opened.status_code in (400, 401)
        assert role == "operator"


def test_wrong_passwords_have_to_wait() -> None:
    async def use(client: Any) -> list[int]:
        tries = [await client.post("/session", json={"secret": f"wrong {n}"}) for n in range(7)]
        right = await client.post("/session", json={"secret": PASSWORD})
        return [one.status_code for one in (*tries, right)]

    codes = served(engineer=LINE).with_client(use)
    assert codes[:5] == [401] * 5
    assert codes[-1] == 429


@pytest.mark.parametrize("body", [b"", b"{}", b'{"secret": 3}', b'{"secret": ""}', b"[]"])
def test_a_login_is_a_json_object_with_a_secret(body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    error_of(served(engineer=LINE).ask("POST", "/session", content=body, headers=headers), 400)


def test_a_form_is_no_login() -> None:
    answer = served(engineer=LINE).ask("POST", "/session", data={"secret": PASSWORD})
    error_of(answer, 415)


def test_passwords_are_salted_and_compared_whole() -> None:
    assert hash_password(PASSWORD) != LINE
    assert PASSWORD not in LINE
    assert is_password(PASSWORD, LINE)
    assert not is_password(PASSWORD + " ", LINE)
    assert not is_password("x" * 5000, LINE)


@pytest.mark.parametrize("line", ["", "secret", LINE.replace("32768", "2"), LINE[:-2], "a$b$c"])
def test_a_line_that_is_no_scrypt_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        check_line(line)


@pytest.mark.parametrize(
    "options",
    [
        {"host": "0.0.0.0"},
        {"host": "0.0.0.0", "token": TOKEN},
        {"host": "0.0.0.0", "hosts": ("line7",)},
        {"host": "192.168.1.5", "hosts": ("line7",)},
        {"host": "::", "token": TOKEN},
        {"host": "", "token": TOKEN},
        {"host": "line7.plant.example"},
        {"host": "0.0.0.0", "token": TOKEN, "hosts": ("*",)},
        {"host": "0.0.0.0", "token": TOKEN, "hosts": ("line7:8000",)},
        {"host": "0.0.0.0", "token": TOKEN, "hosts": ("*.plant.example",)},
        {"token": "short"},
        {"token": "with\nline break in it"},
        {"token": "ünprintable in a header"},
        {"port": -1},
        {"port": 65536},
        {"deadline_s": 0.0},
        {"drain_s": float("nan")},
    ],
)
def test_a_server_that_would_stand_open_does_not_start(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ServerSettings(**options)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert ServerSettings(host=host).token is None


def test_secrets_are_not_shown() -> None:
    text = repr(ServerSettings(token=TOKEN, engineer=LINE))
    assert TOKEN not in text
    assert LINE not in text


def test_limits_are_above_nothing() -> None:
    for options in ({"body_bytes": 0}, {"header_s": 0.0}, {"sockets_per_ip": -1}):
        with pytest.raises(UsageError, match=next(iter(options))):
            Limits(**options)
    with pytest.raises(UsageError, match="in_flight"):
        Limits(in_flight_bytes=1)
