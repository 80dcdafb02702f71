"""Every script of ours can be read by the Lua that will run it: that of Redis, which knows no other way to try."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import services
import shared
from shared.redis import redis
from shared.redis.redis import Script


def scripts() -> Iterator[tuple[str, Script]]:
    for package in (services, shared):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                for name, value in vars(importlib.import_module(found.name)).items():
                    if isinstance(value, Script):
                        yield f"{found.name}.{name}", value


async def test_redis_can_read_every_script_and_knows_it_by_our_digest(redis_url: str) -> None:
    client: Any = redis.connect(redis_url)

    found = list(scripts())
    loaded = {name: await client.script_load(script.lua) for name, script in found}
    await redis.close(client)

    assert len(found) > 40
    assert loaded == {name: script.digest for name, script in found}


async def test_of_several_files_the_later_ones_see_what_the_earlier_ones_define(redis_url: str, tmp_path: Any) -> None:
    (tmp_path / "sum_common.lua").write_text("-- Begins.\n\nlocal one = 1\n")
    (tmp_path / "sum_of.lua").write_text("-- One more.\n\nreturn one + ARGV[1]\n")
    client = redis.connect(redis_url)

    answer = await Script.of(str(tmp_path / "sum.py"), "sum_common", "sum_of")(client, [], ["2"])
    await redis.close(client)

    assert answer == 3
