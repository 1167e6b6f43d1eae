"""Starting a script on several processes: each knows its rank, finds the helpers, and a failure is shown."""

from __future__ import annotations

import os

import pytest

from utils.training.launch import launch

SCRIPT = (
    "import os, sys, utils\n"
    "from pathlib import Path\n"
    "rank, size = (os.environ.get(name, '-') for name in ('RANK', 'WORLD_SIZE'))\n"
    "where = Path.cwd() == Path(__file__).parent\n"
    "settings = os.environ['OMP_NUM_THREADS'], os.environ['CNN_DEVICE']\n"
    "print(rank, size, where, *settings, *sys.argv[1:], flush=True)\n"
    "if 'fail' in sys.argv: raise KeyError('no such thing')\n"
)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_each_process_knows_its_rank(script, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launch(script, "x").splitlines() == ["- - True 1 cpu x"]
    assert sorted(launch(script, processes=2).splitlines()) == ["0 2 True 1 cpu", "1 2 True 1 cpu"]
    assert [path.name for path in script.parent.iterdir()] == ["script.py"]  # nothing is left behind


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_is_shown(script, processes):
    with pytest.raises(RuntimeError, match=rf"(?s)script.py on {processes} process.* failed:.*no such thing"):
        launch(script, "fail", processes=processes)


def test_wrong_calls_are_named(script):
    with pytest.raises(FileNotFoundError, match=r"no file other.py in .*write the script first"):
        launch(script.with_name("other.py"))
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"processes is {wrong}, but"):
            launch(script, processes=wrong)


def test_what_takes_too_long_is_ended(script, tmp_path):
    """All of it: the processes that torchrun started, too."""
    script.write_text("import os, sys, time\nopen(f'{sys.argv[1]}/{os.getpid()}.pid', 'w').close()\ntime.sleep(60)\n")
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError, match="on 2 processes took longer than 8 s and was ended"):
        launch(script, str(tmp_path / "there"), processes=2, timeout=8)
    started = [int(path.stem) for path in (tmp_path / "there").iterdir()]
    assert len(started) <= 2  # both, unless the machine is so busy that they had no time to start
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
