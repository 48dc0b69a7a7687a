"""Publishes each result to an MQTT broker with quality of service 1."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vipx.errors import EngineError, UsageError
from vipx.runtime.sinks.sink import DeliveryError, Message

if TYPE_CHECKING:
    import paho.mqtt.client

_TLS_PORT = 8883


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Which broker, and under which topic.

    Attributes:
        host: Of the broker.
        port: 8883 means TLS with the system's certificates.
        topic: Without wildcards.
        username: With `password`, if the broker asks.
        name: Of the sink.
        timeout_s: For connecting, and for the broker's acknowledgement of one message.
    """

    host: str
    port: int = 1883
    topic: str = "vipx/results"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str = "mqtt"
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.topic or set("+#\x00") & set(self.topic):
            raise UsageError(f"{self.name}: expected a topic without + and #, got {self.topic!r}")
        if not 0 < self.port < 2**16:
            raise UsageError(f"{self.name}: expected a port from 1 to 65535, got {self.port}")


class Mqtt:
    """Publishes messages; the broker's acknowledgement takes one."""

    kind = "mqtt"

    def __init__(self, settings: MqttSettings) -> None:
        """Prepare a client; nothing is connected yet.

        Raises:
            EngineError: paho-mqtt is not installed.
        """
        try:
            import paho.mqtt.client
        except ModuleNotFoundError as error:
            raise EngineError(
                "the Python package paho is not installed; MQTT needs: pip install 'vipx[mqtt]'"
            ) from error
        self._library = paho.mqtt.client
        self._settings = settings
        self._client: paho.mqtt.client.Client | None = None

    @property
    def name(self) -> str:
        """Which outbox is its own."""
        return self._settings.name

    def deliver(self, message: Message) -> None:
        """Publish one message.

        Raises:
            DeliveryError: The broker cannot be reached, or acknowledged nothing in time.
        """
        settings = self._settings
        try:
            client = self._client or self._connected()
            sent = client.publish(settings.topic, message.text.encode(), qos=1)
            sent.wait_for_publish(settings.timeout_s)
            if not sent.is_published():
                raise TimeoutError("the broker acknowledged nothing")
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise DeliveryError(
                f"{settings.name}: {settings.host}:{settings.port}: {error}"
            ) from error

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self) -> "paho.mqtt.client.Client":
        """Connect; a session of its own each time, as the outbox knows what was not acknowledged."""
        settings, library = self._settings, self._library
        client = library.Client(library.CallbackAPIVersion.VERSION2, clean_session=True)
        client.connect_timeout = settings.timeout_s
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.port == _TLS_PORT:
            client.tls_set()
        client.connect(settings.host, settings.port, keepalive=30)
        client.loop_start()
        self._client = client
        return client
