"""Recorded runs: measurements that are too long for a chapter, kept as JSON and read by the pages."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks" / "results"


def record(name: str, rows: list[dict[str, Any]], *, command: str, data: str, seeds: list[int], note: str = "") -> Path:
    """Write a run to ``benchmarks/results/NAME.json`` with hardware, versions, data, seeds and command.

    Parameters
    ----------
    rows : list of dict
        One dict a row, the same keys in each.
    command : str
        What to type to run it again.
    """
    import numpy
    import torch

    if not rows:
        raise ValueError(f"the run {name!r} has no rows; nothing was recorded.")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    run = {
        "name": name,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "hardware": {"device": device, "cores": os.cpu_count(), "torch_threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__},
        "data": data,
        "seeds": seeds,
        "note": note,
        "rows": rows,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(name: str) -> dict[str, Any]:
    """Return the recorded run ``name``.

    Raises
    ------
    FileNotFoundError
        When it was not recorded; the message names the runs there are.
    """
    path = FOLDER / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "none yet"
        raise FileNotFoundError(
            f"the run {name!r} was not recorded; recorded runs: {there}. benchmarks/README.md says how."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def table(rows: list[dict[str, Any]], columns: dict[str, str] | None = None) -> str:
    """Return rows as a text table with aligned columns.

    Parameters
    ----------
    columns : dict, optional
        Key of a row → format specification, for example ``{"accuracy": ".1%"}``; all keys when left out.
    """
    columns = columns or dict.fromkeys(rows[0], "")
    cells = [[key.replace("_", " ") for key in columns]]
    cells += [[format(row[key], spec) for key, spec in columns.items()] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [all(isinstance(row[key], (int, float)) for row in rows) for key in columns]
    lines = [
        "  ".join(
            c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
