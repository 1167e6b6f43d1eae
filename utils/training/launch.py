"""Start a script on several processes of this machine, as ``torchrun`` does, and wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def launch(script: str | Path, *arguments: str, processes: int = 1, timeout: float = 600) -> str:
    """Run ``script`` in its folder, on one process by ``python``, on several by ``torchrun``; return what it printed.

    Each process gets one thread, or they would fight for the cores, and computes on the CPU, since there may be
    fewer GPUs than processes. Chapter "Scaling out" shows the commands.

    Parameters
    ----------
    script : path
        A Python file. It can import ``utils``, wherever this one comes from.
    arguments : str
        What the script finds in ``sys.argv[1:]``.
    processes : int
        At least 1.
    timeout : float
        Seconds after which all of them are ended.

    Returns
    -------
    str
        Standard output; the lines of several processes stand in no fixed order.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or ``processes`` is no number of processes.
    RuntimeError
        When it fails or takes too long; shows the end of what was written to standard error.
    """
    script = Path(script).resolve()
    if not script.is_file():
        raise FileNotFoundError(f"there is no file {script.name} in {script.parent}; write the script first.")
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ValueError(f"processes is {processes!r}, but it must be a whole number of at least 1.")
    # `python -m torch.distributed.run` is torchrun, and surely the one of this Python.
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(start if processes > 1 else []), str(script), *arguments]
    helpers = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [helpers, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CNN_DEVICE": "cpu"}
    name = f"{script.name} on {processes} process{'' if processes == 1 else 'es'}"
    process = subprocess.Popen(
        command, cwd=script.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name} took longer than {timeout:g} s and was ended.") from None
    finally:
        if process.poll() is None:
            process.terminate()  # not kill: torchrun then ends the processes that it started
            process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} failed:\n{errors[-3000:]}")
    return out
