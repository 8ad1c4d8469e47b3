"""Headless Chromium by Selenium: what the tests and the benchmark of the page ask of it. It asks no network."""

import base64
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")


class Browser:
    """One browser window. Screen size, colour scheme and scripts are set by Chromium's own protocol."""

    def __init__(self, chromium: str, driver: str, *, profile: Path):
        os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}  # Selenium would look for drivers and report use
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=Service(driver))

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._driver.quit()

    def open(self, page: Path) -> None:
        self._driver.get("about:blank")
        self.console()  # what an earlier page left
        self._driver.get(page.resolve().as_uri())
        # On a busy machine `get` may return before the deferred scripts have run.
        self.wait_for("return document.readyState === 'complete' && location.protocol === 'file:'")

    def screen(self, width: int, height: int, *, dark: bool = False, scripts: bool = True) -> None:
        self._command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._command("Emulation.setEmulatedMedia", features=[scheme, motion])
        self._command("Emulation.setScriptExecutionDisabled", value=not scripts)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns; `arguments[0]` ... in it."""
        return self._driver.execute_script(script, *arguments)

    def wait_for(self, script: str, *arguments: Any) -> Any:
        """What a script returns once that is true."""
        return WebDriverWait(self._driver, 10, poll_frequency=0.05).until(lambda _: self.run(script, *arguments))

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self._command("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                          windowsVirtualKeyCode={"Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
                                                 "ArrowDown": 40}[key])

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [entry["message"] for entry in self._driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING")]

    def pdf(self) -> bytes:
        return base64.b64decode(self._command("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def screenshot(self, path: Path, *, top: int = 0, height: int | None = None) -> None:
        """The page from `top` on, `height` pixels of it (the screen's, unless told)."""
        width, screen = self.run("return [innerWidth, innerHeight]")
        clip = {"x": 0, "y": top, "width": width, "height": height or screen, "scale": 1}
        shot = self._command("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _command(self, name: str, **parameters: Any) -> dict[str, Any]:
        return self._driver.execute_cdp_cmd(name, parameters)
