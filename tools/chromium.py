"""See to it that the tests have a browser: ``python -m tools.chromium``.

One that is there is used; else Debian's package when root; else Playwright's own download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def path() -> str | None:
    """Return the system's Chromium or Chrome, or None: Playwright then looks for its own."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def main() -> int:
    """Install a browser where there is none; return 0 when there is one in the end."""
    if path():
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        print("Installing Chromium from the distribution …", flush=True)
        subprocess.run(["apt-get", "update"], **quiet)
        if subprocess.run(["apt-get", "install", "-y", "chromium"], **quiet).returncode == 0 and path():
            return 0
    # Does nothing when it has been downloaded before.
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"]).returncode == 0:
        return 0
    print("The tests need Chromium, and it could not be installed; install it by hand and try again.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
