"""Files from elsewhere: fetched once, compared with their checksum, kept in one folder."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

TIMEOUT = 5  # seconds without a byte before an address is given up


def data_folder() -> Path:
    """Return where downloads are kept: ``CNN_DATA``, or ``cnn-book`` in the user's cache folder."""
    if os.environ.get("CNN_DATA"):
        return Path(os.environ["CNN_DATA"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cnn-book"


def fetch(name: str, urls: list[str], path: Path, checksum: str, instead: str, others: list[str] | None = None) -> Path:
    """Return ``path`` when its checksum is right, after downloading it where it is missing or broken.

    Parameters
    ----------
    name : str
        Of the data set or the weights, for the message.
    urls : list of str
        Addresses of the same file, tried in turn.
    path : Path
        Where the file belongs.
    checksum : str
        The file's, with its kind: ``"MD5 …"`` or ``"SHA-256 …"``; of the latter the first digits will do.
    instead : str
        What can be used when the file cannot be had.
    others : list of str, optional
        Further files that belong beside it.

    Raises
    ------
    FileNotFoundError
        When no address gives the right file.
    """
    from filelock import FileLock, Timeout

    if _sum(path, checksum) == checksum:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=3600):
            found = _sum(path, checksum)  # another process may have been here first
            if found == checksum:
                return path
            failures = []
            for url in urls:
                failure = _download(url, path, checksum)
                if failure is None:
                    return path
                failures.append(failure)
    except (OSError, Timeout) as error:
        failures, found = [f"{path.parent} cannot be written to ({error})"], _sum(path, checksum)
    broken = f" The file that is there is broken ({found}) and is not used." if found else ""
    files = f"{path.name} ({checksum})" + (f" and {', '.join(others)}" if others else "")
    raise FileNotFoundError(
        f"{name} cannot be had: {'; '.join(failures)}; put {files} by hand into {path.parent}, "
        f"or set CNN_DATA to the folder that holds {name}; what needs no network is {instead}.{broken}"
    )


def _sum(path: Path, like: str) -> str | None:
    """Return a file's checksum, of the same kind and length as another; None when there is no such file."""
    if not path.is_file():
        return None
    kind, digits = like.split(" ")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(kind.replace("-", ""), usedforsecurity=False))
    return f"{kind} {digest.hexdigest()[: len(digits)]}"


def _download(url: str, path: Path, checksum: str) -> str | None:
    """Download to a name of our own, and put the file in its place when its checksum is right; return what failed."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
            print(f"downloading {url} to {path.parent}", flush=True)
            while block := answer.read(2**20):
                file.write(block)
        found = _sum(temporary, checksum)
        if found != checksum:
            return f"{url} gave a broken file ({found})"
        temporary.replace(path)
        return None
    except (OSError, HTTPException) as error:  # URLError and timeouts are kinds of OSError
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"{url} could not be read ({reason})"
    finally:
        temporary.unlink(missing_ok=True)
