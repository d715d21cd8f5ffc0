"""A headless Chromium, driven by its DevTools protocol: real mouse, real keys, real pixels."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.processes import DEADLINE_S, Process, environment

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1440, 900), (390, 844)
# Nothing of the browser's own goes out, and nothing of it depends on the machine's screen.
FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--no-first-run",
)
KEYS = {"Enter": ("\r", 13), "Tab": ("", 9), "Escape": ("", 27), " ": (" ", 32), "ArrowDown": ("", 40)}
SHIFT = 8
# The element of a selector, of several the first that contains a text.
FIND = "[...document.querySelectorAll({selector})].find(one => one.textContent.includes({text}))"


def installed() -> str | None:
    """Where Chromium is; None when it is not."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser(Process):
    """The browser's process. It ends with its folder's other processes."""

    def __init__(self, folder: Path) -> None:
        program = installed()
        assert program, "no Chromium: make tools, or apt-get install chromium"
        sandbox = () if os.geteuid() else ("--no-sandbox",)  # Chromium refuses to run as root with it
        profile = f"--user-data-dir={folder / 'profile'}"
        super().__init__([program, *FLAGS, *sandbox, profile, "about:blank"], environment(folder, HOME=str(folder)))
        self.url = self.wait_for("DevTools listening on ")[1].split()[-1]

    @asynccontextmanager
    async def tab(self, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> AsyncIterator[Tab]:
        """A tab in a context of its own: no cookies, no storage, no cache of another one's."""
        async with aiohttp.ClientSession() as session, session.ws_connect(self.url, max_msg_size=0) as socket:
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            try:
                await tab.begin(size, dark=dark)
                yield tab
                await tab.end()
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def quit(self) -> None:
        self.stop(signal.SIGKILL)


class Tab:
    """One page. `problems` are what its console would show in red, `requests` the URLs it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session: dict[str, str] = {}
        self._context = ""

    async def begin(self, size: tuple[int, int], *, dark: bool) -> None:
        self._context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=self._context)
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.call(f"{domain}.enable")
        phone = size == PHONE
        width, height = size
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    async def end(self) -> None:
        self._session = {}
        await self.call("Target.disposeBrowserContext", browserContextId=self._context)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **self._session})
        async with asyncio.timeout(DEADLINE_S):
            told = await answer
        assert "error" not in told, f"{method}: {told['error']}"
        return dict(told["result"])

    async def listen(self) -> None:
        """Take answers and events as they come."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning", "assert"}:
            self.problems.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'", "the page to load")
        # Before it has been painted, keys and clicks are dropped.
        await self.until("performance.getEntriesByType('paint').length", "the page to be painted")

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth; a promise is awaited."""
        told = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    async def until(self, expression: str, what: str, deadline_s: float = DEADLINE_S) -> Any:
        """Wait until an expression is true; what it is worth then. That an element is there is true."""
        expression = f"(found => found instanceof Node || found)({expression})"
        end = asyncio.get_running_loop().time() + deadline_s
        while not (found := await self.value(expression)):
            shown = "" if asyncio.get_running_loop().time() < end else await self.value("document.body.innerText")
            assert not shown, f"waited {deadline_s:g} s in vain for {what}; problems: {self.problems}; shown:\n{shown}"
            await asyncio.sleep(0.03)
        return found

    async def text(self, selector: str) -> str:
        return str(await self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def click(self, selector: str, text: str = "") -> None:
        """Click an element by mouse, where it can be seen: waits until nothing lies over it and it has come to rest."""
        element = FIND.format(selector=json.dumps(selector), text=json.dumps(text))
        where = f"""(() => {{
          const element = {element};
          if (!element || element.disabled) return null;
          element.scrollIntoView({{block: "center", behavior: "instant"}});
          const box = element.getBoundingClientRect();
          const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
          const hit = document.elementFromPoint(x, y);
          return hit && (element.contains(hit) || hit.contains(element) && hit.tagName === "LABEL") ? [x, y] : null;
        }})()"""
        x, y = await self.until(where, f"{selector} {text!r} to be clickable")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        text, code = KEYS.get(key, (key, 0))
        named = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        modifiers = {"modifiers": SHIFT if shift else 0}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        await self.call("Input.dispatchKeyEvent", **down, **named, **modifiers)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **named, **modifiers)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def screenshot(self, *, whole: bool = False) -> bytes:
        """The page as PNG; `whole`: also what lies below the edge of the window."""
        told = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(told["data"])
