"""Instances for flow tests: one on a Redis of its own, one on a cluster of three."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.servers import RedisCluster


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["single", "cluster"])
async def stack(request: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A running instance, shared by the tests of a module, which may say settings of its own (`OWN`); the tests run
    against both kinds of Redis."""
    folder = tmp_path_factory.mktemp("drops")
    environ = {"ESTAFETTE_DROPS_ENABLED": "true", "ESTAFETTE_DROPS_FOLDER": str(folder)}
    environ |= getattr(request.module, "OWN", {})
    if request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        environ["ESTAFETTE_REDIS_URL"] = cluster.url
    async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
        yield stack
