"""What may stand in the server's configuration file: its sections, keys and defaults."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vipx.manifest import Record
from vipx.runtime.server.work.task import Priority

# It stands in addresses, in file names and in the labels of metrics.
PeerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Port = Annotated[int, Field(ge=1, le=65535)]
Pause = Annotated[float, Field(ge=0.01, le=3600)]
Timeout = Annotated[float, Field(gt=0, le=30)]  # of one attempt: the server's end may wait for it
Milliseconds = Annotated[int, Field(ge=1, le=60_000)]
Limit = Annotated[float, Field(gt=0)] | Literal["unlimited"]


class Secret(Record):
    """Where a secret is: in a file or in a variable of the environment, never in the configuration."""

    def _expect_one(self, *names: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {' and '.join(names)}, got {len(given)}")


class FolderRecord(Record):
    """`[[folder]]`: pictures that appear in a folder."""

    path: Text
    name: PeerName = "folder"
    recipe: Text | None = None
    done: Text | None = None
    interval_s: Pause = 0.2
    unreadable_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    timeout_ms: Milliseconds = 5000
    priority: Priority = "line"


class CameraRecord(Record):
    """`[[camera]]`: frames of a camera, triggered over HTTP or in turn."""

    address: Annotated[int, Field(ge=0)] | Text
    name: PeerName = "camera"
    recipe: Text | None = None
    interval_s: Pause | None = None
    frame_timeout_ms: Milliseconds = 1000
    stale_s: Pause = 2.0
    retry_s: Pause = 2.0
    timeout_ms: Milliseconds = 500
    priority: Priority = "line"


class WebhookRecord(Secret):
    """`[[webhook]]`: each result is posted, signed."""

    url: Text
    name: PeerName = "webhook"
    secret_file: Text | None = None
    secret_env: Text | None = None
    timeout_s: Timeout = 5.0

    @model_validator(mode="after")
    def _check(self) -> "WebhookRecord":
        self._expect_one("secret_file", "secret_env")
        return self


class CsvRecord(Record):
    """`[[csv]]`: one file of results a day."""

    folder: Text
    name: PeerName = "csv"


class MqttRecord(Secret):
    """`[[mqtt]]`: each result is published."""

    host: Text
    name: PeerName = "mqtt"
    port: Port = 1883
    topic: Text = "vipx/results"
    username: Text | None = None
    password_file: Text | None = None
    password_env: Text | None = None
    ca_file: Text | None = None
    timeout_s: Timeout = 5.0

    @model_validator(mode="after")
    def _check(self) -> "MqttRecord":
        names = ("password_file", "password_env")
        if self.username is not None:
            self._expect_one(*names)
        elif any(getattr(self, name) is not None for name in names):
            raise ValueError("a password needs a username")
        return self


class OpcUaRecord(Record):
    """`[[opcua]]`: the newest result, in variables of an OPC UA server."""

    url: Text
    name: PeerName = "opcua"
    prefix: Text = "ns=2;s=Vipx."
    timeout_s: Timeout = 2.0


class ModbusRecord(Record):
    """`[[modbus]]`: the newest result, in registers of a PLC."""

    host: Text
    name: PeerName = "modbus"
    port: Port = 502
    device: Annotated[int, Field(ge=0, le=255)] = 1
    address: Annotated[int, Field(ge=0, le=65528)] = 0
    timeout_s: Timeout = 1.0


class OkRetention(Record):
    """`[storage.ok]`: how long results with the verdict OK are kept."""

    days: Limit = 30.0
    gigabytes: Limit = 20.0
    count: Annotated[int, Field(gt=0)] | Literal["unlimited"] = 1_000_000
    sample: Annotated[int, Field(ge=1)] = 1


class NgRetention(OkRetention):
    """`[storage.ng]`: how long all others are kept."""

    days: Limit = 90.0
    gigabytes: Limit = 50.0


class StorageRecord(Record):
    """`[storage]`: what is kept, and what happens where it cannot be."""

    ok: OkRetention = OkRetention()
    ng: NgRetention = NgRetention()
    full_sync: bool = False
    on_error: Literal["continue", "stop"] = "continue"
    free_gigabytes: Annotated[float, Field(ge=0)] = 2.0
    free_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    pending: Annotated[int, Field(ge=1, le=10_000)] = 64
    patience_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    busy_ms: Annotated[int, Field(ge=1, le=10_000)] = 200
    sweep_s: Pause = 30.0
    outbox: Annotated[int, Field(ge=1)] = 100_000


class LineRecord(Record):
    """The whole file; what is left out has its default, and no source or sink is there by default."""

    folder: tuple[FolderRecord, ...] = ()
    camera: tuple[CameraRecord, ...] = ()
    webhook: tuple[WebhookRecord, ...] = ()
    csv: tuple[CsvRecord, ...] = ()
    mqtt: tuple[MqttRecord, ...] = ()
    opcua: tuple[OpcUaRecord, ...] = ()
    modbus: tuple[ModbusRecord, ...] = ()
    storage: StorageRecord = StorageRecord()
