"""A picture of a page, taken by Chromium without a screen.

    PYTHONPATH=tests .venv/bin/python -m support.servers.ui_screenshot URL OUT.png [TEXT]

Waits until the page shows TEXT, where one is given, else until its network is idle; prints the page's text.
Of Prefect's UI the page behind the login is shown where PREFECT_API_AUTH_STRING is set, as it is after
`eval "$(enginery status --env)"`.
"""

import argparse
import os
from pathlib import Path
from urllib.parse import urljoin

from support.servers.browser import browser_page, log_in


def screenshot(url: str, out: Path, text: str | None = None, auth_string: str = "") -> str:
    """Write a picture of the whole page to `out`; returns the text that the page shows."""
    with browser_page() as page:
        if auth_string:
            log_in(page, urljoin(url, "/"), auth_string)
            page.get_by_text("Flow Runs", exact=True).first.wait_for()
        page.goto(url)
        try:
            if text is None:
                page.wait_for_load_state("networkidle")
            else:
                page.get_by_text(text).first.wait_for()
        finally:
            page.screenshot(path=out, full_page=True)
        return page.inner_text("body")


def main() -> None:
    """Read the arguments, take the picture, print the text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("text", nargs="?")
    given = parser.parse_args()
    print(screenshot(given.url, given.out, given.text, os.environ.get("PREFECT_API_AUTH_STRING", "")))


if __name__ == "__main__":
    main()
