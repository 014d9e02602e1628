"""A real browser without a network: Chromium, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["BROWSER", "Tab", "browse"]

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """A page in the browser.

    Attributes:
        errors: what the console and the page complained of.
        requests: addresses that were asked for.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer, self._number, self._rest = reader, writer, 0, b""
        self._session = ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something, and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._reader, 1 << 20)
            if not got:
                raise RuntimeError("the browser has gone")
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(line)
        params = found.get("params", {})
        match found.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"].get("exception", {}).get("description", params)))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.errors.append(
                    " ".join(str(one.get("value", one.get("description", ""))) for one in params["args"])
                )
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
        return found

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a file, and wait until the page says that it is ready."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement && document.documentElement.dataset.ready === '1'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails'].get('exception', {}).get('description')}")
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}; errors: {self.errors}")
            time.sleep(0.03)

    def show(self, css: str) -> None:
        """Scroll to an element and wait until it stays there; where it is a chart, until it is drawn.

        Charts above it that are drawn as they come near may move it.
        """
        scroll = f"document.querySelector({css!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})"
        self.run(scroll)
        place, since = self.at(css), time.monotonic()
        end = since + 10
        while time.monotonic() < min(since + 0.15, end):
            time.sleep(0.03)
            if self.at(css) != place:
                self.run(scroll)
                place, since = self.at(css), time.monotonic()
        if self.run(f"document.querySelector({css!r}).classList.contains('chart')"):
            self.wait(f"document.querySelector({css!r}).dataset.drawn && !document.querySelector({css!r}).dataset.busy")

    def at(self, css: str, nth: int = 0) -> tuple[float, float]:
        """The middle of an element, in pixels of the window."""
        box = self.run(
            f"(() => {{ const b = document.querySelectorAll({css!r})[{nth}].getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return box[0], box[1]

    def mouse(self, kind: str, x: float, y: float, *, down: bool = False, modifiers: int = 0) -> None:
        """A mouse event: `mouseMoved`, `mousePressed`, `mouseReleased`."""
        button = "none" if kind == "mouseMoved" and not down else "left"
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=int(down or kind == "mousePressed"),
            clickCount=0 if kind == "mouseMoved" else 1,
            modifiers=modifiers,
        )

    def click(self, x: float, y: float, *, shift: bool = False) -> None:
        """Click at a point."""
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, modifiers=8 * shift)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from a point to another."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start)
        for i in range(1, 6):
            self.mouse("mouseMoved", *(a + (b - a) * i / 5 for a, b in zip(start, end, strict=True)), down=True)
        self.mouse("mouseReleased", *end)

    def key(self, name: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """What is seen, as a PNG."""
        options: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
            options |= {"captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **options)["data"]))


@contextmanager
def browse(profile: Path) -> Iterator[Tab]:
    """A browser with one page, which ends with the block.

    Arguments:
        profile: a folder for the browser's own files.
    """
    to_browser, writer = os.pipe()
    reader, from_browser = os.pipe()
    command = [
        str(BROWSER),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * 0.0.0.0",
        "--remote-debugging-pipe",
    ]

    def place() -> None:  # the browser reads from 3 and writes to 4
        high = os.dup(to_browser), os.dup(from_browser)
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place, close_fds=False
    )
    for end in (to_browser, from_browser):
        os.close(end)
    try:
        yield Tab(reader, writer)
    finally:
        with suppress(OSError):
            process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for end in (reader, writer):
            with suppress(OSError):
                os.close(end)
