"""Chromium without a screen.

It is not part of the development environment (Debian: apt-get install chromium).
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

# As root in a container; and with no calls home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LIMIT_MS = 60_000


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a browser with a profile of its own."""
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("no chromium on PATH\n  fix: sudo apt-get install -y chromium")
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1400, "height": 1000},
        )
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        yield page
        context.close()


def log_in(page: Page, url: str, auth_string: str) -> None:
    """Give the login page of Prefect's UI what it asks for."""
    page.goto(url)
    page.locator("input").first.fill(auth_string)
    page.keyboard.press("Enter")
