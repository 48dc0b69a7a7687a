"""Opens a page in headless Chromium and tells what it did: the DevTools protocol on two pipes, no driver."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
IMAGES = """JSON.stringify([...document.images].map(
  i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width, i.alt]))"""


def find() -> str | None:
    """The browser's program, if this machine has one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What happened while a page was open; an image is (complete, natural width, shown width, alt)."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    images: list[list[Any]] = field(default_factory=list)
    overflow: int = 0
    screenshot: bytes = b""


def visit(
    program: str, page: Path, profile: Path, *, dark: bool = False, width: int = 1280
) -> Visit:
    """Open a page from disk, wait until it has loaded, and look at it from top to bottom."""
    with _browser(program, profile) as talk:
        target = talk.ask("Target.createTarget", url="about:blank")["targetId"]
        session = talk.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        talk.session = session
        for domain in ("Page", "Network", "Log", "Runtime"):
            talk.ask(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        talk.ask("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        talk.ask("Emulation.setDeviceMetricsOverride", **size)
        talk.ask("Page.navigate", url=page.resolve().as_uri())
        talk.wait_for("Page.loadEventFired")
        evaluated = talk.ask("Runtime.evaluate", expression=IMAGES)["result"]["value"]
        wide = "document.documentElement.scrollWidth - innerWidth"
        overflow = talk.ask("Runtime.evaluate", expression=wide)["result"]["value"]
        shot = talk.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        found = Visit(images=json.loads(evaluated), overflow=overflow)
        found.screenshot = base64.b64decode(shot)
        for event in talk.events:
            _note(found, event["method"], event["params"])
        return found


def _note(found: Visit, method: str, params: dict[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        found.requests.append(params["request"]["url"])
    elif method == "Log.entryAdded":
        found.complaints.append(params["entry"]["text"])
    elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        found.complaints.append(json.dumps(params))


class _Talk:
    """Questions and answers, each ended by a zero byte."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._left, self._number = write, read, b"", 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self._left += part
        message, self._left = self._left.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def _browser(program: str, profile: Path) -> Iterator[_Talk]:
    """The protocol has fixed descriptors: the browser reads 3 and writes 4."""
    to_browser, from_browser = os.pipe(), os.pipe()
    inner = f'exec 3<&{to_browser[0]} 4>&{from_browser[1]}; exec "$@"'
    command = ["bash", "-c", inner, "bash", program, *SWITCHES, f"--user-data-dir={profile}"]
    theirs = (to_browser[0], from_browser[1])
    process = subprocess.Popen(
        command, pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for descriptor in theirs:
        os.close(descriptor)
    try:
        yield _Talk(to_browser[1], from_browser[0])
    finally:
        os.close(to_browser[1])
        os.close(from_browser[0])
        process.kill()
        process.wait()
