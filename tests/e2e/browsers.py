"""Real browsers for the end-to-end tests: Chromium through Playwright, Firefox through WebDriver BiDi.

Both start with fake cameras and microphones, an empty profile, optionally inside a network namespace.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from playwright.async_api import async_playwright

from tests.e2e.network import Host

# Three people who encode 720p in layers and decode each other ask more than two cores can give, and what is tested then
# is the machine. At 10 frames a second they fit.
CHROMIUM_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream=fps=10",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--ignore-certificate-errors",
]

FIREFOX_PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.gmp-manager.url": "",
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "captivedetect.canonicalURL": "",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "extensions.update.enabled": False,
    "services.settings.server": "data:,",
    "remote.log.level": "Error",
    "dom.security.https_only_mode": False,
    "intl.accept_languages": "en",
}


# What Firefox has not done by then it never does; a page waits for a minute at most.
ANSWER_SECONDS = 90


class Browser(Protocol):
    """One browser with one page."""

    name: str

    async def open(self, url: str) -> None: ...
    async def evaluate(self, expression: str) -> Any: ...
    async def click(self, selector: str) -> None: ...
    async def fill(self, selector: str, text: str) -> None: ...
    async def screenshot(self, path: Path) -> None: ...
    async def resize(self, width: int, height: int) -> None: ...
    async def close(self) -> None: ...


class Chromium:
    """Chromium driven by Playwright."""

    name = "chromium"

    @classmethod
    async def start(
        cls,
        folder: Path,
        host: Host | None = None,
        *,
        arguments: list[str] | None = None,
        **context_options: Any,
    ) -> Chromium:
        """Starts the browser; `folder` takes its wrapper and profile, `host` is the namespace to live in."""
        self = cls()
        folder.mkdir(parents=True, exist_ok=True)
        executable = "/usr/bin/chromium"
        if host:
            executable = str(host.wrapper(folder / "chromium", executable, {"HOME": str(folder)}))
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=executable,
            args=[*CHROMIUM_ARGUMENTS, *(arguments or [])],
            env={**os.environ, "HOME": str(folder)},
        )
        await self._open_page(context_options)
        return self

    async def another(self, **context_options: Any) -> Chromium:
        """A browser of somebody else in the same process, storage and all apart; it goes with this one."""
        made = Chromium()
        made._playwright, made._browser = self._playwright, self._browser
        await made._open_page(context_options)
        return made

    async def _open_page(self, context_options: dict[str, Any]) -> None:
        self._context = await self._browser.new_context(
            **{"ignore_https_errors": True, "viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
            | context_options
        )
        self.page = await self._context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"pageerror: {error}"))

    async def open(self, url: str) -> None:
        """Loads a page."""
        await self.page.goto(url)

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression, promises awaited."""
        return await self.page.evaluate(expression)

    async def click(self, selector: str) -> None:
        """Clicks the element as a person would (visible, enabled, not covered)."""
        await self.page.click(selector)

    async def fill(self, selector: str, text: str) -> None:
        """Types into a field."""
        await self.page.fill(selector, text)

    async def screenshot(self, path: Path) -> None:
        """A picture of the viewport."""
        await self.page.screenshot(path=path)

    async def resize(self, width: int, height: int) -> None:
        """Makes the viewport so large, in CSS pixels."""
        await self.page.set_viewport_size({"width": width, "height": height})

    async def leave(self) -> None:
        """Closes the page and forgets what it stored."""
        await self._context.close()

    async def close(self) -> None:
        """Ends the browser."""
        await self._browser.close()
        await self._playwright.stop()


class BidiError(Exception):
    """The browser refused a command."""


class Firefox:
    """Firefox ESR driven by WebDriver BiDi over its own WebSocket, without geckodriver."""

    name = "firefox"

    @classmethod
    async def start(cls, folder: Path, host: Host | None = None) -> Firefox:
        """Starts the browser with a fresh profile in `folder`; `host` is the namespace to live in."""
        self = cls()
        profile = folder / "profile"
        profile.mkdir(parents=True, exist_ok=True)
        self.downloads = folder / "downloads"
        preferences = FIREFOX_PREFERENCES | {
            "browser.download.folderList": 2,
            "browser.download.dir": str(self.downloads),
        }
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in preferences.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = ["firefox-esr", "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(profile)]
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL"),  # or it would outlive tests that are broken off
            *(host.command(*command) if host else command),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": str(folder), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
            start_new_session=True,
        )
        address = await asyncio.wait_for(self._debugging_address(), 60)
        connector = aiohttp.TCPConnector(socket_factory=host.socket_factory) if host else None
        self._http = aiohttp.ClientSession(connector=connector)
        self._socket = await self._http.ws_connect(f"{address}/session", max_msg_size=0)
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self.console: list[str] = []
        self._reader = asyncio.create_task(self._read())
        await self.command("session.new", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": True}}})
        await self.command("session.subscribe", {"events": ["log.entryAdded"]})
        tree = await self.command("browsingContext.getTree", {})
        self._context = tree["contexts"][0]["context"]
        await self.resize(1280, 800)
        return self

    async def _debugging_address(self) -> str:
        assert self._process.stderr
        while line := (await self._process.stderr.readline()).decode():
            if "WebDriver BiDi listening on" in line:
                self._drain = asyncio.create_task(self._process.stderr.read())
                return line.split()[-1]
        raise BidiError("Firefox ended before it listened")

    async def _read(self) -> None:
        async for message in self._socket:
            reply = json.loads(message.data)
            if reply.get("type") == "event":
                self.console.append(f"{reply['params'].get('level')}: {reply['params'].get('text')}")
                continue
            future = self._replies.pop(reply["id"], None)
            if future and not future.done():
                if reply["type"] == "error":
                    future.set_exception(BidiError(f"{reply['error']}: {reply['message']}"))
                else:
                    future.set_result(reply["result"])
        for future in self._replies.values():
            if not future.done():
                future.set_exception(BidiError("the connection ended"))

    async def command(self, method: str, params: dict[str, Any]) -> Any:
        """One BiDi command and its result."""
        number = next(self._numbers)
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await asyncio.wait_for(future, ANSWER_SECONDS)

    async def open(self, url: str) -> None:
        """Loads a page."""
        await self.command("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression (or of calling it when it is a function), promises awaited."""
        wrapped = (
            f"(async () => {{ let value = ({expression}); if (typeof value === 'function') value = value();"
            " return JSON.stringify((await value) ?? null); })()"
        )
        result = await self.command(
            "script.evaluate",
            {"expression": wrapped, "target": {"context": self._context}, "awaitPromise": True, "userActivation": True},
        )
        if result["type"] != "success":
            raise BidiError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    async def _centre(self, selector: str) -> dict[str, Any]:
        return await self.evaluate(
            f"""(async () => {{
                const deadline = performance.now() + 15000;
                for (;;) {{
                    const element = document.querySelector({json.dumps(selector)});
                    if (element && !element.disabled) {{
                        element.scrollIntoView({{block: 'nearest'}});
                        const box = element.getBoundingClientRect();
                        if (box.width && box.height)
                            return {{x: Math.round(box.x + box.width / 2), y: Math.round(box.y + box.height / 2)}};
                    }}
                    if (performance.now() > deadline) throw new Error('not there: ' + {json.dumps(selector)});
                    await new Promise(requestAnimationFrame);
                }}
            }})()"""
        )

    async def click(self, selector: str) -> None:
        """Clicks the element with the pointer."""
        centre = await self._centre(selector)
        actions = [
            {"type": "pointerMove", **centre},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self.command(
            "input.performActions",
            {"context": self._context, "actions": [{"type": "pointer", "id": "mouse", "actions": actions}]},
        )

    async def fill(self, selector: str, text: str) -> None:
        """Replaces a field's text by typing."""
        await self.click(selector)
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        keys = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        await self.command(
            "input.performActions",
            {"context": self._context, "actions": [{"type": "key", "id": "keys", "actions": keys}]},
        )

    async def screenshot(self, path: Path) -> None:
        """A picture of the viewport."""
        shot = await self.command("browsingContext.captureScreenshot", {"context": self._context})
        path.write_bytes(base64.b64decode(shot["data"]))

    async def resize(self, width: int, height: int) -> None:
        """Makes the viewport so large, in CSS pixels."""
        viewport = {"width": width, "height": height}
        await self.command("browsingContext.setViewport", {"context": self._context, "viewport": viewport})

    async def close(self) -> None:
        """Ends the browser and everything it started."""
        self._reader.cancel()
        await self._socket.close()
        await self._http.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._drain
