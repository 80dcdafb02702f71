"""The master secret is known to the installation, and another one is refused by whoever has it."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from services.settings import Settings
from shared.process import master_secret
from shared.process.lifecycle import Lifecycle
from shared.process.master_secret import MasterSecret
from shared.process.settings import Data
from shared.redis import keys
from shared.redis.known_secret import (
    REFUSED_MS,
    WrongSecret,
    accept,
    check,
    fingerprint,
    is_known,
)
from tests.servers import ANY_METRICS_PORT, RedisServer

OLD, NEW, OTHER = (bytes([byte]) * 32 for byte in (1, 2, 3))
SETTINGS = Settings(data=Data(dir="here"))


async def test_the_first_secret_is_the_installations_and_another_is_refused_in_words(client: Any) -> None:
    await check(client, SETTINGS, MasterSecret(OLD))
    await check(client, SETTINGS, MasterSecret(OLD))

    with pytest.raises(
        WrongSecret, match=r"secret\.key_file .*/here/secret\.key .* secret\.previous_key_files"
    ) as refused:
        await check(client, SETTINGS, MasterSecret(OTHER))

    assert OTHER.hex() not in str(refused.value)
    await check(client, SETTINGS, MasterSecret(OLD))


async def test_a_secret_is_changed_by_naming_the_former_one(client: Any) -> None:
    await check(client, SETTINGS, MasterSecret(OLD))

    await check(client, SETTINGS, MasterSecret(NEW, (OLD,)))
    await check(client, SETTINGS, MasterSecret(NEW))

    with pytest.raises(WrongSecret):
        await check(client, SETTINGS, MasterSecret(OLD))
    with pytest.raises(WrongSecret):
        await check(client, SETTINGS, MasterSecret(OTHER, (OLD,)))


async def test_while_a_change_is_rolled_out_old_and_new_go_on(client: Any) -> None:
    for _ in range(2):
        await check(client, SETTINGS, MasterSecret(OLD, (NEW,)))
        await check(client, SETTINGS, MasterSecret(NEW, (OLD,)))

    await check(client, SETTINGS, MasterSecret(NEW))


async def test_a_secret_that_is_lost_is_given_up_by_the_operators_word(client: Any) -> None:
    await check(client, SETTINGS, MasterSecret(OLD))

    await accept(client, MasterSecret(OTHER))

    await check(client, SETTINGS, MasterSecret(OTHER))
    with pytest.raises(WrongSecret):
        await check(client, SETTINGS, MasterSecret(OLD))


async def test_what_is_stored_is_no_part_of_the_secret(client: Any) -> None:
    await check(client, SETTINGS, MasterSecret(OLD))

    stored = (await client.get(keys.master_secret())).decode()

    assert stored == fingerprint(OLD) != fingerprint(NEW)
    assert len(stored) == 32
    assert stored not in OLD.hex()
    assert OLD.hex() not in stored


async def said(directory: Path, url: str, *words: str) -> tuple[int | None, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")} | {
        **ANY_METRICS_PORT,
        "ESTAFETTE_DATA_DIR": str(directory),
        "ESTAFETTE_REDIS_URL": url,
        "ESTAFETTE_HTTP_PORT": "0",
        "ESTAFETTE_BOUNCES_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.console.console", *words,
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(120):
        printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_two_data_directories_beside_one_redis_are_refused_by_all_who_have_the_secret(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        first, second = tmp_path / "first", tmp_path / "second"
        for directory in (first, second):
            master_secret.load(Settings(data=Data(dir=str(directory))))
        assert await said(first, server.url, "domains", "list") == (0, "")

        for words in (
            ("run",),
            ("domains", "list"),
            *(("serve", name) for name in ("http", "relay", "bounces", "tracking")),
        ):
            code, printed = await said(second, server.url, *words)
            assert code != 0, words
            assert "another master secret" in printed, words
            assert str(second / "secret.key") in printed, words

        assert (await said(second, server.url, "secret", "accept"))[0] == 0
        assert await said(second, server.url, "domains", "list") == (0, "")
    finally:
        server.stop()


async def test_a_process_says_all_that_is_wrong_with_its_settings_before_it_starts(tmp_path: Path) -> None:
    environ_of = {"ESTAFETTE_RELAY_ROUTE": "mx"}
    for words in (("serve", "relay"), ("serve", "http"), ("run",)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.console.console", *words,
            env={**os.environ, **environ_of, "ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_REDIS_URL": "redis://127.0.0.1:1/0"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            printed = (await process.communicate())[0].decode()

        assert process.returncode == 2
        for name in ("tracking.base_url", "bounces.domain", "http://127.0.0.1:8080", "bounces.localhost", "https"):
            assert name in printed
        assert "Traceback" not in printed


async def test_who_is_refused_leaves_a_word_until_one_of_its_name_starts_with_the_right_secret(client: Any) -> None:
    life = Lifecycle("relay", SETTINGS)
    assert await is_known(life, client, MasterSecret(OLD))
    assert await client.get(keys.refused_secret("relay")) is None

    with pytest.raises(WrongSecret):
        await is_known(life, client, MasterSecret(OTHER))

    assert await client.get(keys.refused_secret("relay")) is not None
    assert await client.get(keys.refused_secret("http")) is None
    assert 0 < await client.pttl(keys.refused_secret("relay")) <= REFUSED_MS

    assert await is_known(life, client, MasterSecret(OLD))

    assert await client.get(keys.refused_secret("relay")) is None
