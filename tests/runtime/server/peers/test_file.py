"""The configuration file: what it may say, and one clear line for every mistake."""

import builtins
import re
from pathlib import Path
from typing import Any

import pytest

from vipx.errors import EngineError, InputError, UsageError, VipxError
from vipx.runtime.server.peers.file import read_line
from vipx.runtime.server.peers.making import Configured, LinePeers, configured
from vipx.runtime.server.peers.records import LineRecord
from vipx.runtime.server.storage.settings import Retention, StorageSettings

DOCUMENT = Path(__file__).parents[4] / "docs" / "server" / "io.md"
SECRET = "a secret of enough characters"


def made(folder: Path, text: str, recipes: tuple[str, ...] = ("bolt",)) -> Configured:
    path = folder / "line.toml"
    path.write_text(text)
    return configured(path, recipes, folder / "data", lambda _: None)


def example() -> str:
    blocks = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return max(blocks, key=len)


def test_an_empty_file_connects_nothing_and_keeps_the_defaults(tmp_path: Path) -> None:
    line = made(tmp_path, "")
    assert line.peers == LinePeers()
    assert line.storage == StorageSettings(tmp_path / "data")


def test_the_documents_example_is_understood_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    for name in ("paho", "asyncua", "pymodbus"):
        pytest.importorskip(name)
    (tmp_path / "mes.secret").write_text(SECRET)
    monkeypatch.setenv("MQTT_PASSWORD", SECRET)
    text = example()
    line = made(tmp_path, text, ("bolt", "nut"))
    record = read_line(tmp_path / "line.toml")
    given = record.model_dump(exclude_unset=True)
    assert set(given) == set(LineRecord.model_fields)  # every section is shown
    assert len(line.peers.sources) == 2
    assert {sink.kind for sink in line.peers.sinks} == {"webhook", "csv", "mqtt"}
    assert {sink.kind for sink in line.peers.values} == {"opcua", "modbus"}


@pytest.mark.parametrize("section", sorted(LineRecord.model_fields))
def test_the_document_names_every_key_and_its_default(section: str) -> None:
    document = DOCUMENT.read_text()
    field: Any = LineRecord.model_fields[section].annotation
    model = next(one for one in getattr(field, "__args__", (field, ...)) if one is not ...)
    for name, key in model.model_fields.items():
        row = re.search(rf"^\| `{section}\.{name}` \|(.*)$", document, re.MULTILINE)
        if name in ("ok", "ng"):
            continue
        assert row, f"{section}.{name}"
        default = "must be given" if key.is_required() else written(key.default)
        assert row[1].strip().startswith(default), (section, name, default)


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value).removesuffix(".0")


MISTAKES = [
    ("[[folder]]", "folder[1].path: is missing; add a line `path = ...`"),
    ("[[foldr]]\npath = 'in'", "foldr: no such setting; there are camera, csv, folder"),
    ("[[folder]]\npath = 'in'\npth = 1", "folder[1].pth: no such setting; there are done"),
    ("[folder]\npath = 'in'", "folder: expected sections that begin with [[folder]]"),
    ("folder = 3", "folder: expected sections that begin with [[folder]]"),
    ("[[folder]]\npath = 3", "folder[1].path: "),
    ("[[folder]]\npath = ''", "folder[1].path: "),
    ("[[folder]]\npath = 'in'\ninterval_s = 0", "folder[1].interval_s: "),
    ("[[folder]]\npath = 'in'\ninterval_s = nan", "folder[1].interval_s: "),
    ("[[folder]]\npath = 'in'\npriority = 'high'", "folder[1].priority: "),
    ("[[folder]]\npath = 'in'\nname = '../x'", "folder[1].name: "),
    ("[[folder]]\npath = 'in'\ndone = 'in'", "folder[1]: "),
    ("[[folder]]\npath = 'in'\nrecipe = 'nut'", "folder[1]: recipe: this server has no 'nut'"),
    (
        "[[folder]]\npath = 'a'\n[[folder]]\npath = 'b'",
        "folder[2].name: 'folder' is the name of folder[1] too; give each a name of its own",
    ),
    ("[[camera]]\naddress = -1", "camera[1].address: "),
    ("[[camera]]\naddress = true", "camera[1].address: "),
    ("[[camera]]\naddress = 0\ntimeout_ms = 0", "camera[1].timeout_ms: "),
    ("[[webhook]]\nurl = 'http://x/'", "webhook[1]: expected one of secret_file and secret_env"),
    (
        f"[[webhook]]\nurl = 'http://x/'\nsecret = '{SECRET}'",
        "webhook[1].secret: no secret stands in this file; give secret_file or secret_env",
    ),
    ("[[webhook]]\nurl = 'ftp://x/'\nsecret_env = 'HOOK'", "webhook[1]: webhook: expected an http"),
    ("[[webhook]]\nurl = 'http://x/'\nsecret_env = 'WEAK'", "webhook[1]: webhook: expected a sec"),
    (
        f"[[mqtt]]\nhost = 'x'\nusername = 'u'\npassword = '{SECRET}'",
        "mqtt[1].password: no secret stands in this file; give password_file or password_env",
    ),
    ("[[mqtt]]\nhost = 'x'\nusername = 'u'", "mqtt[1]: expected one of password_file and"),
    ("[[mqtt]]\nhost = 'x'\npassword_env = 'HOOK'", "mqtt[1]: a password needs a username"),
    ("[[mqtt]]\nhost = 'x'\ntopic = 'a/#'", "mqtt[1]: mqtt: expected a topic"),
    ("[[opcua]]\nurl = 'http://x'", "opcua[1]: opcua: expected opc.tcp://"),
    ("[[modbus]]\nhost = 'x'\naddress = 65530", "modbus[1].address: "),
    ("[storage.ok]\ncount = 0", "storage.ok.count: "),
    ("[storage.ok]\ndays = 'ever'", "storage.ok.days: "),
    ("[storage.ok]\nyears = 1", "storage.ok.years: no such setting; there are count, days"),
    ("[storage]\non_error = 'ignore'", "storage.on_error: "),
    ("[storage]\nfull_sync = 1", "storage.full_sync: "),
    ("[[folder]\n", "not a TOML file"),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_is_one_line_with_file_and_key(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("WEAK", "short")
    with pytest.raises(UsageError) as caught:
        made(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'line.toml'}: {told}")
    assert "\n" not in message
    assert SECRET not in message


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_line(tmp_path / "none.toml")


def test_where_there_are_several_recipes_a_source_names_its_own(tmp_path: Path) -> None:
    recipes = ("bolt", "nut")
    with pytest.raises(UsageError, match=r"folder\[1\]: recipe: is missing"):
        made(tmp_path, "[[folder]]\npath = 'in'", recipes)
    line = made(tmp_path, "[[folder]]\npath = 'in'\nrecipe = 'nut'", recipes)
    assert line.peers.sources[0].recipe == "nut"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[webhook]]\nurl = 'http://x/'\nsecret_file = 'none'", "none"),
        ("[[webhook]]\nurl = 'http://x/'\nsecret_env = 'VIPX_NOT_SET'", "VIPX_NOT_SET"),
        ("[[mqtt]]\nhost='x'\nusername='u'\npassword_env='VIPX_NOT_SET'", "VIPX_NOT_SET"),
    ],
)
def test_a_secret_that_cannot_be_read_is_said(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=what):
        made(tmp_path, text)


def test_a_secrets_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "key").chmod(0o644)
    path = tmp_path / "line.toml"
    path.write_text("[[webhook]]\nurl = 'http://x/'\nsecret_file = 'key'")
    configured(path, ("bolt",), tmp_path, told.append)
    assert any("chmod 600" in text for text in told)


@pytest.mark.parametrize(
    ("package", "text", "told"),
    [
        ("paho", "[[mqtt]]\nhost = 'x'\nca_file = 'ca.pem'", "mqtt[1]: mqtt: {}/ca.pem: expected"),
        (
            "asyncua",
            "[[opcua]]\nurl = 'opc.tcp://x'\nprefix = 'Vipx.'",
            "opcua[1]: opcua: expected a prefix such as ns=2;s=Vipx., got 'Vipx.'",
        ),
    ],
)
def test_a_mistake_that_only_the_package_sees_is_one_line_as_well(
    package: str, text: str, told: str, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    with pytest.raises(UsageError) as caught:
        made(tmp_path, text)
    told = told.format(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'line.toml'}: {told}")


@pytest.mark.parametrize(
    ("text", "package", "extra"),
    [
        ("[[camera]]\naddress = 0", "cv2", "camera"),
        ("[[mqtt]]\nhost = 'x'", "paho", "mqtt"),
        ("[[opcua]]\nurl = 'opc.tcp://x'", "asyncua", "opcua"),
        ("[[modbus]]\nhost = 'x'", "pymodbus", "modbus"),
    ],
)
def test_an_extra_that_is_not_installed_is_refused_with_the_line_that_installs_it(
    text: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EngineError, match=rf"pip install 'vipx\[{extra}\]'"):
        made(tmp_path, text)


def test_paths_are_relative_to_the_files_own_folder(tmp_path: Path) -> None:
    line = made(tmp_path, "[[csv]]\nfolder = 'tables'")
    assert "tables" in repr(vars(line.peers.sinks[0])["_folder"])
    assert vars(line.peers.sinks[0])["_folder"] == tmp_path.resolve() / "tables"


def test_storage_rules_come_from_the_file(tmp_path: Path) -> None:
    rules = "[storage.ok]\ncount = 7\nsample = 50\n[storage.ng]\ndays = 'unlimited'"
    storage = made(tmp_path, f"[storage]\nfree_gigabytes = 0.5\n{rules}").storage
    assert storage.ok == Retention(30.0, 20.0, 7, 50)
    assert storage.ng == Retention(None, 50.0, 1_000_000)
    assert storage.free_bytes == 500_000_000


def test_every_refusal_ends_the_command_with_its_own_code(tmp_path: Path) -> None:
    codes = set()
    for text in ("x = 1", "[[webhook]]\nurl = 'http://x/'\nsecret_file = 'none'"):
        with pytest.raises(VipxError) as caught:
            made(tmp_path, text)
        codes.add(caught.value.exit_code)
    assert codes == {2, 3}
