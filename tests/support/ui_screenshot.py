"""A picture of a page by Chromium without a screen: python tests/support/ui_screenshot.py URL OUT.png [TEXT].

Waits until the page shows TEXT, where one is given, else until its network is idle; prints the page's text.
Needs a Chromium (Debian: apt-get install chromium), which is not part of the development environment.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

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


def screenshot(url: str, out: Path, text: str | None = None) -> str:
    """Write a picture of the whole page to `out`; returns the text that the page shows."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium on PATH\n  fix: sudo apt-get install -y chromium")
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1400, "height": 1000},
        )
        page = context.new_page()
        page.goto(url, timeout=LIMIT_MS)
        try:
            if text is None:
                page.wait_for_load_state("networkidle", timeout=LIMIT_MS)
            else:
                page.get_by_text(text).first.wait_for(timeout=LIMIT_MS)
        finally:
            page.screenshot(path=out, full_page=True)
        shown = page.inner_text("body")
        context.close()
    return shown


def main() -> None:
    """Read the arguments, take the picture, print the text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("text", nargs="?")
    given = parser.parse_args()
    print(screenshot(given.url, given.out, given.text))


if __name__ == "__main__":
    main()
