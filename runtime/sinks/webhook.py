"""Posts each result to an address, signed, so that the receiver knows who sent it and when."""

import hashlib
import hmac
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from vipx.errors import UsageError
from vipx.runtime.sinks.sink import DeliveryError, Message

SIGNATURE = "Vipx-Signature"
TIMESTAMP = "Vipx-Timestamp"
RESULT_ID = "Vipx-Result-Id"
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where results are posted.

    Attributes:
        url: http or https.
        secret: Shared with the receiver; signs every message.
        name: Of the sink.
        timeout_s: Of one attempt.
    """

    url: str
    secret: str = field(repr=False)
    name: str = "webhook"
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.name}: expected an http or https address, got {self.url!r}")
        if parts.username or parts.password:
            raise UsageError(f"{self.name}: give no password in the address; messages are signed")
        if len(self.secret) < _SHORTEST_SECRET:
            raise UsageError(
                f"{self.name}: expected a secret of {_SHORTEST_SECRET} characters or more"
            )


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Give `sha256=...`: the HMAC of the timestamp, a full stop and the body.

    A receiver computes the same, compares in constant time, and refuses old timestamps.
    """
    signed = timestamp.encode("ascii") + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - urllib's own signature
        return None


class Webhook:
    """Posts messages; a 2xx answer takes one."""

    kind = "webhook"

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        # Proxies of the environment would see the results of a plant's line.
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    @property
    def name(self) -> str:
        """Which outbox is its own."""
        return self._settings.name

    def deliver(self, message: Message) -> None:
        """Post one message.

        Raises:
            DeliveryError: No 2xx answer came.
        """
        try:
            with self._opener.open(
                self._request(message), timeout=self._settings.timeout_s
            ) as answer:
                answer.read(65_536)  # what a receiver says beyond that is not waited for
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"{self.name}: the receiver answered {error.code}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise DeliveryError(f"{self.name}: no answer from the receiver ({reason})") from error

    def close(self) -> None:
        """Nothing is held between two messages."""

    def _request(self, message: Message) -> urllib.request.Request:
        body, timestamp = message.text.encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "vipx",
            TIMESTAMP: timestamp,
            RESULT_ID: message.result_id,
            SIGNATURE: signature(self._settings.secret, timestamp, body),
        }
        return urllib.request.Request(self._settings.url, body, headers, method="POST")
