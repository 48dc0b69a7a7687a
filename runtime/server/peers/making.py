"""Makes sources and sinks of what the configuration file says; nothing is started yet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vipx.errors import UsageError
from vipx.runtime.server.peers.file import read_line
from vipx.runtime.server.peers.records import (
    CameraRecord,
    FolderRecord,
    LineRecord,
    OkRetention,
    StorageRecord,
)
from vipx.runtime.server.peers.secrets import secret_of_environment, secret_of_file
from vipx.runtime.server.storage.settings import GIGABYTE, Retention, StorageSettings
from vipx.runtime.server.work.task import Priority
from vipx.runtime.sinks.csv_file import CsvFile
from vipx.runtime.sinks.live import ValueSink
from vipx.runtime.sinks.modbus import Modbus, ModbusSettings
from vipx.runtime.sinks.mqtt import Mqtt, MqttSettings
from vipx.runtime.sinks.opcua import OpcUa, OpcUaSettings
from vipx.runtime.sinks.sink import Sink
from vipx.runtime.sinks.webhook import Webhook, WebhookSettings
from vipx.runtime.sources.camera import CameraSettings, CameraSource, check_opencv
from vipx.runtime.sources.folder import FolderSettings, FolderSource
from vipx.runtime.sources.source import Source


@dataclass(frozen=True, slots=True)
class Connected:
    """A source, and how its pictures are inspected.

    Attributes:
        source: Delivers pictures.
        recipe: Whose thresholds judge them.
        priority: `line`, or `page` to wait behind it.
        deadline_s: Longest wait of a picture for the engine.
    """

    source: Source
    recipe: str
    priority: Priority
    deadline_s: float


@dataclass(frozen=True, slots=True)
class LinePeers:
    """Everything that the configuration file connects.

    Attributes:
        sources: Where pictures come from besides HTTP.
        sinks: What gets every stored result, from an outbox of its own.
        values: What sees the newest result.
    """

    sources: tuple[Connected, ...] = ()
    sinks: tuple[Sink, ...] = ()
    values: tuple[ValueSink, ...] = ()


@dataclass(frozen=True, slots=True)
class Configured:
    """What a configuration file comes to."""

    peers: LinePeers
    storage: StorageSettings


def configured(
    path: Path, recipes: Sequence[str], data: Path, tell: Callable[[str], None]
) -> Configured:
    """Read a configuration file and make what it names.

    Args:
        path: TOML. Paths in it are relative to its own folder: a service has no working folder to speak of.
        recipes: Names that a source may ask for.
        data: The store's folder.
        tell: Is told what is allowed and unwise.

    Raises:
        UsageError: The file cannot be read or understood.
        InputError: A secret cannot be read.
        EngineError: A package that a source or sink needs is not installed.
    """
    line = read_line(path)
    maker = _Maker(path, tuple(recipes), tell)
    peers = LinePeers(
        sources=tuple(maker.sources(line)),
        sinks=tuple(maker.sinks(line)),
        values=tuple(maker.values(line)),
    )
    return Configured(peers, storage_of(line.storage, data))


def storage_of(record: StorageRecord, data: Path) -> StorageSettings:
    """Turn the section into the store's settings."""
    return StorageSettings(
        folder=data,
        ok=_retention(record.ok),
        ng=_retention(record.ng),
        full_sync=record.full_sync,
        on_error=record.on_error,
        free_bytes=round(record.free_gigabytes * GIGABYTE),
        free_share=record.free_share,
        pending=record.pending,
        patience_s=record.patience_s,
        busy_ms=record.busy_ms,
        sweep_s=record.sweep_s,
        outbox=record.outbox,
    )


def _retention(record: OkRetention) -> Retention:
    return Retention(
        days=None if record.days == "unlimited" else record.days,
        gigabytes=None if record.gigabytes == "unlimited" else record.gigabytes,
        count=None if record.count == "unlimited" else record.count,
        sample=record.sample,
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    path: Path
    recipes: tuple[str, ...]
    tell: Callable[[str], None]

    def sources(self, line: LineRecord) -> Iterator[Connected]:
        for number, folder in enumerate(line.folder, start=1):
            with self._placed(f"folder[{number}]"):
                yield self._connected(folder, FolderSource(self._folder(folder)))
        for number, camera in enumerate(line.camera, start=1):
            check_opencv()
            with self._placed(f"camera[{number}]"):
                settings = CameraSettings(
                    camera.address,
                    camera.name,
                    camera.interval_s,
                    stale_s=camera.stale_s,
                    retry_s=camera.retry_s,
                    frame_s=camera.frame_timeout_ms / 1000,
                )
                yield self._connected(camera, CameraSource(settings))

    def sinks(self, line: LineRecord) -> Iterator[Sink]:
        for number, hook in enumerate(line.webhook, start=1):
            with self._placed(f"webhook[{number}]"):
                secret = self._secret(hook.secret_file, hook.secret_env, "webhook's secret")
                yield Webhook(WebhookSettings(hook.url, secret, hook.name, hook.timeout_s))
        for table in line.csv:
            yield CsvFile(self._beside(table.folder), table.name)
        for number, mqtt in enumerate(line.mqtt, start=1):
            with self._placed(f"mqtt[{number}]"):
                password = None
                if mqtt.username is not None:
                    password = self._secret(
                        mqtt.password_file, mqtt.password_env, "broker's password"
                    )
                yield Mqtt(
                    MqttSettings(
                        host=mqtt.host,
                        port=mqtt.port,
                        topic=mqtt.topic,
                        username=mqtt.username,
                        password=password,
                        name=mqtt.name,
                        timeout_s=mqtt.timeout_s,
                        ca_file=None if mqtt.ca_file is None else self._beside(mqtt.ca_file),
                    )
                )

    def values(self, line: LineRecord) -> Iterator[ValueSink]:
        for number, opcua in enumerate(line.opcua, start=1):
            with self._placed(f"opcua[{number}]"):
                yield OpcUa(OpcUaSettings(opcua.url, opcua.prefix, opcua.name, opcua.timeout_s))
        for one in line.modbus:
            yield Modbus(
                ModbusSettings(
                    host=one.host,
                    port=one.port,
                    device=one.device,
                    address=one.address,
                    name=one.name,
                    timeout_s=one.timeout_s,
                )
            )

    def _connected(self, record: FolderRecord | CameraRecord, source: Source) -> Connected:
        return Connected(
            source, self._recipe(record.recipe), record.priority, record.timeout_ms / 1000
        )

    def _recipe(self, name: str | None) -> str:
        known = ", ".join(self.recipes)
        if name is None and len(self.recipes) > 1:
            raise UsageError(f"recipe: is missing; say which one inspects: {known}")
        if name is not None and name not in self.recipes:
            raise UsageError(f"recipe: this server has no {name!r}; it has {known}")
        return name or self.recipes[0]

    def _folder(self, record: FolderRecord) -> FolderSettings:
        done = None if record.done is None else self._beside(record.done)
        if done is None:
            self.tell(
                f"{self.path}: folder {record.name!r} has no `done`: its pictures stay, and are inspected "
                "again when the server is started again"
            )
        return FolderSettings(
            self._beside(record.path),
            record.name,
            done,
            interval_s=record.interval_s,
            unreadable_s=record.unreadable_s,
        )

    def _secret(self, file: str | None, variable: str | None, what: str) -> str:
        if file is not None:
            return secret_of_file(self._beside(file), what, self.tell)
        return secret_of_environment(variable or "", what)

    def _beside(self, path: str) -> Path:
        return self.path.resolve().parent / Path(path).expanduser()

    @contextmanager
    def _placed(self, place: str) -> Iterator[None]:
        """Say where in the file stands what a source or sink does not take."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"{self.path}: {place}: {error}") from error
