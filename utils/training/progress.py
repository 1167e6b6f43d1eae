"""A bar on one line that is gone when the final line is printed."""

from __future__ import annotations

import sys
import time


class Bar:
    """Show how many of ``steps`` are done, at most five times a second."""

    def __init__(self, steps: int, done: int = 0) -> None:
        self.steps, self.done, self.shown, self.width = steps, done, 0.0, 0

    def step(self) -> None:
        """One step more is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.shown > 0.2:
            self.shown = now
            filled = 30 * self.done // self.steps
            text = f"{'█' * filled}{'░' * (30 - filled)} {100 * self.done // self.steps} %"
            self.width = max(self.width, len(text))
            print(f"\r{text}", end="", flush=True)

    def end(self, line: str) -> None:
        """Put ``line`` in place of the bar."""
        # Blanks first: a carriage return moves the cursor and erases nothing.
        blank = f"\r{' ' * self.width}\r" if self.width else ""
        print(f"{blank}{line}")
        sys.stdout.flush()
