"""Publishes each result to an MQTT broker with quality of service 1."""

import queue
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vipx.errors import EngineError, UsageError
from vipx.runtime.sinks.sink import DeliveryError, Message

if TYPE_CHECKING:
    import paho.mqtt.client
    from paho.mqtt.reasoncodes import ReasonCode

_TLS_PORT = 8883
_LOG_IN = (134, 135)  # reasons: bad user name or password, not authorized


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Which broker, and under which topic.

    Attributes:
        host: Of the broker.
        port: 8883 means TLS.
        topic: Without wildcards.
        username: With `password`, if the broker asks.
        name: Of the sink.
        timeout_s: For connecting, for the broker's answer to that, and for its acknowledgement of a message.
        ca_file: Certificates (PEM) of who may vouch for the broker, instead of the system's; means TLS on
            any port.
    """

    host: str
    port: int = 1883
    topic: str = "vipx/results"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str = "mqtt"
    timeout_s: float = 5.0
    ca_file: Path | None = None

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
            UsageError: The file with the certificates cannot be used.
        """
        try:
            import paho.mqtt.client
        except ModuleNotFoundError as error:
            raise EngineError(
                "the Python package paho is not installed; MQTT needs: pip install 'vipx[mqtt]'"
            ) from error
        self._library = paho.mqtt.client
        self._settings, self._tls = settings, _tls_of(settings)
        self._client: paho.mqtt.client.Client | None = None

    @property
    def name(self) -> str:
        """Which outbox is its own."""
        return self._settings.name

    def deliver(self, message: Message) -> None:
        """Publish one message.

        Raises:
            DeliveryError: The broker cannot be reached, refuses, or acknowledged nothing in time.
        """
        settings = self._settings
        try:
            client = self._connected()
            sent = client.publish(settings.topic, message.text.encode(), qos=1)
            sent.wait_for_publish(settings.timeout_s)
            if not sent.is_published():
                raise TimeoutError("the broker acknowledged nothing")
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            where = f"{settings.name}: {settings.host}:{settings.port}"
            raise DeliveryError(f"{where}: {_reason(error)}") from error

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self) -> "paho.mqtt.client.Client":
        """Give the client whose connection stands, or a new one: paho's own attempts would tell no reason."""
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        self._client = client = self._prepared()
        answers: queue.SimpleQueue[ReasonCode | None] = queue.SimpleQueue()
        client.on_connect = lambda _, __, ___, reason, ____: answers.put(reason)
        client.on_disconnect = lambda *_: answers.put(None)
        client.connect(self._settings.host, self._settings.port, keepalive=30)
        client.loop_start()
        try:
            answer = answers.get(timeout=self._settings.timeout_s)
        except queue.Empty:
            raise TimeoutError("the broker did not answer") from None
        if answer is None:
            kind = "with" if self._tls else "without"
            raise ConnectionError(f"closed without an answer; is it a broker {kind} TLS?")
        if answer.is_failure:
            hint = "; check username and password" if answer.value in _LOG_IN else ""
            raise ConnectionError(f"the broker refused the connection ({answer}){hint}")
        return client

    def _prepared(self) -> "paho.mqtt.client.Client":
        """Make a client; a session of its own each time, as the outbox knows what was not acknowledged."""
        settings, library = self._settings, self._library
        client = library.Client(
            library.CallbackAPIVersion.VERSION2, clean_session=True, reconnect_on_failure=False
        )
        client.connect_timeout = settings.timeout_s
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        return client


def _tls_of(settings: MqttSettings) -> ssl.SSLContext | None:
    if settings.port != _TLS_PORT and settings.ca_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and its name
    if settings.ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(settings.ca_file)
    except OSError as error:
        raise UsageError(
            f"{settings.name}: {settings.ca_file}: expected certificates in PEM ({error.strerror})"
        ) from error
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is refused: {error.verify_message}"
    return str(error)
