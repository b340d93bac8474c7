"""Chromium without a window, spoken to over its DevTools pipe: no driver program and no package is needed."""
from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe")
SECONDS = 240   # patience for one answer: a loaded machine starts a browser slowly


def _child(commands: int, answers: int, core: int | None) -> None:
    """In the child: where Chromium reads and writes, and the core on which it runs."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    high = os.dup(commands), os.dup(answers)    # neither may be overwritten before it is copied
    os.dup2(high[0], 3)
    os.dup2(high[1], 4)


class Browser:
    """One browser with one page; `with Browser() as page:`.   core: where all of it runs, if anywhere.

    Raises RuntimeError for what the page throws.
    """

    def __init__(self, core: int | None = None) -> None:
        self._profile = tempfile.TemporaryDirectory()
        theirs, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(words, pass_fds=(3, 4), stderr=subprocess.DEVNULL,
                                         preexec_fn=lambda: _child(theirs, theirs_out, core))
        os.close(theirs)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._in, self._out):
            os.close(end)
        shutil.rmtree(self._profile.name, ignore_errors=True)   # its other processes may still be leaving
        self._profile._finalizer.detach()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message | session).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {SECONDS} s")
            piece = os.read(self._in, 2**16)
            if not piece:
                raise RuntimeError("the browser ended")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, page: Path | str) -> None:
        """Load a file or an address and wait until it is whole."""
        self.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        deadline = time.monotonic() + SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive(deadline)

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            found = done["exceptionDetails"]
            raise RuntimeError(found.get("exception", {}).get("description", found["text"]))
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression holds."""
        deadline = time.monotonic() + SECONDS
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page never came to {condition}")
            time.sleep(0.05)

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an <input type="file">, as a person's choice."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Press the pointer at the first point, move over the others, let go at the last."""
        for i, (x, y) in enumerate(points):
            kind = "mousePressed" if i == 0 else "mouseMoved"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self) -> bytes:
        """A PNG of what is seen."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def errors(self) -> list[str]:
        """What the page threw since it was opened."""
        return [event["params"]["exceptionDetails"]["text"] for event in self.events
                if event["method"] == "Runtime.exceptionThrown"]
