"""What the whole test run reports about notebooks: seconds for each, and how to mend one that failed."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def pytest_configure(config):
    """Give kernels the settings under which the outputs were stored."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CNN_SCALE"] = "small"


def pytest_terminal_summary(terminalreporter):
    """Print seconds for each notebook, then each failed cell with the command that stores it anew."""
    seconds: dict[str, float] = defaultdict(float)
    failed: dict[str, list[str]] = defaultdict(list)
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            name, _, cell = getattr(report, "nodeid", "").partition("::")
            if name.endswith(".ipynb"):
                seconds[name] += getattr(report, "duration", 0.0)
                if outcome in ("failed", "error"):
                    failed[name].append(cell.removeprefix("ipynb::"))
    if seconds:
        terminalreporter.section("seconds for each notebook")
        for name, value in sorted(seconds.items()):
            terminalreporter.write_line(f"{value:7.1f}  {name}")
        terminalreporter.write_line(f"{sum(seconds.values()):7.1f}  all {len(seconds)}")
    for name, cells in sorted(failed.items()):
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{name}: not as stored in {', '.join(cells)} (details above).", red=True)
        terminalreporter.write_line(f"  If the new outputs are right: make execute CHAPTER={Path(name).stem}")
