"""The client is a distribution of its own: its wheel, unpacked where nothing else of ours is, is imported and typed."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
#: `-I`: nothing of this directory or of the environment is found but what is named.
USE = """
import sys
sys.path.insert(0, sys.argv[1])
from estafette_client import client, webhooks
assert client.__file__.startswith(sys.argv[1]) and client.Client and webhooks.verified
assert not [name for name in sys.modules if name.partition(".")[0] in ("services", "shared")]
"""


def test_the_wheel_of_the_client_has_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    source, made, unpacked = tmp_path / "source", tmp_path / "made", tmp_path / "unpacked"
    shutil.copytree(ROOT / "services/client", source, ignore=shutil.ignore_patterns("__pycache__"))
    made.mkdir()

    subprocess.run([sys.executable, "-c", BUILD, str(made)], cwd=source, check=True, capture_output=True)
    (wheel,) = made.glob("estafette_client-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(unpacked)
    subprocess.run([sys.executable, "-I", "-c", USE, str(unpacked)], cwd=tmp_path, check=True)

    files = {file.name for file in (unpacked / "estafette_client").iterdir() if file.is_file()}
    assert files == {"__init__.py", "answers.py", "client.py", "py.typed", "webhooks.py"}
