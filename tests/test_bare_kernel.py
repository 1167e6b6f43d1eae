"""The single files run in an empty folder, in an environment where ``utils`` is not installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import notebooks, repository, single_file


@pytest.fixture(scope="module")
def bare_kernel(tmp_path_factory):
    """Return the name of a kernel with the same packages but without ``utils``.

    A second environment borrows the packages through a .pth file; the editable install of ``utils``
    hangs on a .pth file of its own, which Python does not follow from there.
    """
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    check = subprocess.run([python, "-c", "import torch, utils"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'utils'" in check.stderr
    spec = folder / "kernels" / "bare"
    spec.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "bare", "language": "python"}))
    before = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = str(folder)
    yield "bare"
    os.environ.pop("JUPYTER_PATH") if before is None else os.environ.update(JUPYTER_PATH=before)


def run(notebook, folder, kernel):
    """Execute in ``folder``; return what was printed."""
    NotebookClient(notebook, timeout=300, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}).execute()
    return [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]


@pytest.mark.parametrize("name", ["convolution.ipynb", "lenet.ipynb", "pooling_exercises.ipynb"])
def test_single_file_runs_alone(tmp_path, bare_kernel, name):
    files = {p.name: p for p in single_file.write_all(tmp_path / "files")}
    notebook = nbformat.read(files[name], as_version=4)
    alone = tmp_path / "alone"
    alone.mkdir()
    outputs = run(notebook, alone, bare_kernel)
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    signs = "".join(o.get("text", "") for o in outputs)
    assert ("○" if "exercises" in name else "✓") in signs and "✗" not in signs
    assert list(alone.iterdir()) == []  # nothing is left behind


def test_there_is_a_single_file_for_every_page(tmp_path):
    written = {p.name for p in single_file.write_all(tmp_path)}
    wanted = {p.name for p in (*notebooks.chapters(), *notebooks.references())}
    wanted |= {f"{p.stem}_exercises.ipynb" for p in notebooks.exercises()}
    assert written == wanted
    for path in tmp_path.iterdir():
        setup = nbformat.read(path, as_version=4).cells[1].source
        code = setup.split('HELPERS = """')[0]
        named = set(re.findall(r"[\w.-]+", code))  # a package of weights has "pytorch" in its name
        assert not named & {"torch", "torchvision"} and "==" not in code  # installs no torch, pins nothing
        assert path.stat().st_size < 8_000_000


def test_bare_kernel_without_the_helpers_is_told_what_to_do(tmp_path, bare_kernel):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(notebooks.setup_source(""))])
    with pytest.raises(Exception, match="not installed in this kernel.*single file") as caught:
        run(notebook, tmp_path, bare_kernel)
    assert "ModuleNotFoundError" in str(caught.value)


def test_repository_address_is_written_everywhere_and_out_again(tmp_path):
    """In a copy of the tree: set, change, take out; in the end nothing differs from the beginning."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=notebooks.ROOT, capture_output=True, text=True
    )
    files = [f for f in listed.stdout.splitlines() if (notebooks.ROOT / f).is_file()]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((notebooks.ROOT / name).read_bytes())
    before = {name: (tmp_path / name).read_bytes() for name in files}

    def tool(*arguments):
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, "-m", "tools.repository", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    was = notebooks.repository()
    for url in ("https://github.com/owner/name", "https://github.com/other/course.git"):
        assert tool(url).returncode == 0
        url = url.removesuffix(".git")
        for name in ("_config.yml", "README.md", "book/foundations/pooling.ipynb", "book/exercises/lenet.ipynb"):
            assert url in (tmp_path / name).read_text(encoding="utf-8"), name
    assert not [
        n for n in files if b"owner/name" in (tmp_path / n).read_bytes() and not n.startswith(("tests/", "tools/"))
    ]
    assert tool("ftp://x").returncode != 0
    assert tool(was).returncode == 0
    assert [n for n in files if (tmp_path / n).read_bytes() != before[n]] == []
    assert repository.badges("") == "<!-- badges -->\n<!-- /badges -->"
