"""The master secret is made once, kept private, and never made where the operator named a file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared import master_secret
from shared.settings import Settings, load


def settings(directory: Path, **variables: str) -> Settings:
    return load({"ESTAFETTE_DATA_DIR": str(directory), **variables}, None)


def test_the_first_start_makes_it_and_the_next_ones_find_it(tmp_path: Path) -> None:
    here = settings(tmp_path / "run")

    first = master_secret.load(here)
    second = master_secret.load(here)

    assert len(first.current) == 32
    assert first == second
    assert here.secret_file.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in here.data.path.iterdir()] == ["secret.key"]


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    here = settings(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _n: master_secret.load(here), range(32)))

    assert len({secret.current for secret in loaded}) == 1


def test_a_named_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    named = tmp_path / "named.key"

    with pytest.raises(master_secret.NoSecret, match=r"named\.key"):
        master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(named)))
    assert not named.exists()


@pytest.mark.parametrize("content", ["not hex", "abcd"])
def test_a_file_that_is_no_secret_is_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.key").write_text(content)

    with pytest.raises(master_secret.NoSecret) as raised:
        master_secret.load(settings(tmp_path))
    assert content not in str(raised.value)


def test_former_secrets_are_read_and_none_is_printed(tmp_path: Path) -> None:
    (tmp_path / "old.key").write_text("aa" * 32)

    secret = master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_PREVIOUS_KEY_FILES=str(tmp_path / "old.key")))

    assert secret.previous == (b"\xaa" * 32,)
    assert repr(secret) == "MasterSecret()"


def test_who_runs_no_instance_makes_no_secret(tmp_path: Path) -> None:
    with pytest.raises(master_secret.NoSecret, match=r"secret\.key"):
        master_secret.load(settings(tmp_path), make=False)
    made = master_secret.load(settings(tmp_path))

    assert master_secret.load(settings(tmp_path), make=False) == made
