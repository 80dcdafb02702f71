"""The master secret is made once, kept private, and never made where the operator named a file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.settings import load
from shared.process import master_secret
from shared.process.settings import Settings


def settings(directory: Path, **variables: str) -> Settings:
    return load({"ESTAFETTE_DATA_DIR": str(directory), **variables}, None)


def keep(file: Path, content: str, mode: int = 0o600) -> Path:
    file.write_text(content)
    file.chmod(mode)
    return file


def secret_volume(directory: Path, mode: int) -> Path:
    """As kubelet lays it out: the name leads through `..data` to the directory of a time."""
    (directory / "..2026_11_27").mkdir(parents=True)
    keep(directory / "..2026_11_27" / "key", "ab" * 32, mode)
    (directory / "..data").symlink_to("..2026_11_27")
    (directory / "key").symlink_to("..data/key")
    return directory / "key"


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
    keep(tmp_path / "secret.key", content)

    with pytest.raises(master_secret.NoSecret) as raised:
        master_secret.load(settings(tmp_path))
    assert content not in str(raised.value)


def test_former_secrets_are_read_and_none_is_printed(tmp_path: Path) -> None:
    keep(tmp_path / "old.key", "aa" * 32)

    secret = master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_PREVIOUS_KEY_FILES=str(tmp_path / "old.key")))

    assert secret.previous == (b"\xaa" * 32,)
    assert repr(secret) == "MasterSecret()"


def test_who_runs_no_instance_makes_no_secret(tmp_path: Path) -> None:
    with pytest.raises(master_secret.NoSecret, match=r"secret\.key"):
        master_secret.load(settings(tmp_path), make=False)
    made = master_secret.load(settings(tmp_path))

    assert master_secret.load(settings(tmp_path), make=False) == made


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o641, 0o601, 0o444, 0o666, 0o602, 0o620, 0o660, 0o777])
@pytest.mark.parametrize("named", ["secret.key", "named.key", "old.key", "link.key"])
def test_a_secret_that_others_can_read_or_write_is_refused_with_its_mode(tmp_path: Path, named: str, mode: int) -> None:
    content = "ab" * 32
    keep(tmp_path / "secret.key", content)
    file = keep(tmp_path / named, content, mode)
    variables = {"old.key": "ESTAFETTE_SECRET_PREVIOUS_KEY_FILES", "secret.key": ""}
    if named == "link.key":
        file = tmp_path / "leads-to-it"
        file.symlink_to(named)
    variable = variables.get(named, "ESTAFETTE_SECRET_KEY_FILE")

    with pytest.raises(master_secret.NoSecret, match=f"mode {mode:04o}.*others can .*chmod 600") as raised:
        master_secret.load(settings(tmp_path, **({variable: str(file)} if variable else {})))
    assert content not in str(raised.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640, 0o700])
def test_one_that_its_owner_and_group_read_is_taken(tmp_path: Path, mode: int) -> None:
    file = keep(tmp_path / "k", "ab" * 32, mode)

    assert master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(file))).current == b"\xab" * 32


@pytest.mark.parametrize("mode", [0o644, 0o444, 0o440, 0o400])
def test_a_secret_volume_of_kubernetes_is_taken_with_the_mode_that_it_has_by_default(tmp_path: Path, mode: int) -> None:
    file = secret_volume(tmp_path / "volume", mode)

    assert master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(file))).current == b"\xab" * 32


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_one_that_can_be_written_there_is_refused_all_the_same(tmp_path: Path, mode: int) -> None:
    file = secret_volume(tmp_path / "volume", mode)

    with pytest.raises(master_secret.NoSecret, match="others can write it"):
        master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(file)))


def test_a_file_beside_such_a_layout_is_not_of_it(tmp_path: Path) -> None:
    secret_volume(tmp_path / "volume", 0o644)
    beside = keep(tmp_path / "volume" / "other", "ab" * 32, 0o644)
    elsewhere = tmp_path / "volume" / "link"
    keep(tmp_path / "elsewhere", "ab" * 32, 0o644)
    elsewhere.symlink_to("../elsewhere")

    for file in (beside, elsewhere):
        with pytest.raises(master_secret.NoSecret, match="others can read it"):
            master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(file)))


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "."])
def test_what_is_no_file_is_refused_and_not_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(master_secret.NoSecret):
        master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=name))


def test_a_file_without_end_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(master_secret.NoSecret):
        master_secret.load(settings(tmp_path, ESTAFETTE_SECRET_KEY_FILE=str(keep(tmp_path / "k", "zz" * 1_000_000))))
