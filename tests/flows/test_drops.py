"""Drops through the front doors: named over HTTP, written by their own process, read back by the import."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from services.reports.drops import periods
from services.reports.drops.periods import SETTLE_MS
from tests.flows.stack import Stack

HEADING = "address,channel,scope,reason,source,diagnostic,since,last,expires_at\r\n"


@asynccontextmanager
async def dropping(stack: Stack) -> AsyncIterator[None]:
    """While `estafette serve drops` runs beside the instance."""
    url = await asyncio.to_thread((stack.directory / "redis.url").read_text)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.console.console", "serve", "drops",
        env={**stack.environ, "ESTAFETTE_REDIS_URL": url.strip(), "ESTAFETTE_DROPS_METRICS_PORT": "0"},
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_list_is_dropped_as_a_file_that_the_import_reads_back(tmp_path: Path) -> None:
    root = tmp_path / "drops"
    await asyncio.to_thread(root.mkdir)
    environ = {"ESTAFETTE_DROPS_ENABLED": "true", "ESTAFETTE_DROPS_FOLDER": str(root)}
    # The hour that is written has been over for a minute, whenever the test runs.
    settled = datetime.now(UTC) - timedelta(milliseconds=SETTLE_MS) - timedelta(hours=1)
    hour = periods.containing("hourly", 0, int(settled.timestamp() * 1000))
    long_ago = "2026-01-05T10:00:00.000Z"
    listed = HEADING + f"ana@exemple.fr,email,all,manual,api,=1+1,{long_ago},{long_ago},\r\n".replace(",=", ",'=")

    async with Stack.running(tmp_path / "run", environ) as stack:
        admin = await stack.new_key("demo", "read,admin,suppress")
        csv = {"data": listed.encode(), "headers": {"Content-Type": "text/csv"}}
        status, told = await stack.call("POST", "/v1/suppressions/import", key=admin, **csv)
        assert (status, told["results"]["listed"]) == (200, 1), told
        drop = {"kind": "suppressions", "target": "crm", "since": settled.isoformat()}
        for name, kind in (("stops", "suppressions"), ("events", "events")):
            status, made = await stack.call("PUT", f"/v1/drops/{name}", {**drop, "kind": kind}, key=admin)
            assert status == 201, made

        async with dropping(stack):
            for name in ("stops", "events"):
                await stack.until(partial(_written, stack, name, admin))
        shown = await stack.console("drops", "list")
        _, exported = await stack.call("GET", "/v1/suppressions/export", key=admin)

        dropped = (root / "demo" / "crm" / periods.file_name("demo", "stops", "hourly", hour)).read_bytes()
        _, again = await stack.call(
            "POST", "/v1/suppressions/import", key=admin, data=dropped, headers={"Content-Type": "text/csv"}
        )
        assert (await stack.call("DELETE", "/v1/drops/stops", key=admin))[0] == 204

    assert dropped == exported
    assert b"ana@exemple.fr" in dropped
    assert (again["format"], again["results"]["unchanged"]) == ("estafette", 1)
    rows = (root / "demo" / "crm" / periods.file_name("demo", "events", "hourly", hour)).read_bytes()
    assert rows.startswith(b"event_id,type,time,")
    assert rows.count(b"\r\n") == 1
    assert "demo/stops  suppressions  hourly  crm  enabled" in shown


async def _written(stack: Stack, name: str, key: str) -> bool:
    _, shown = await stack.call("GET", f"/v1/drops/{name}", key=key)
    assert shown["why"] is None, shown
    return bool(shown["files"] >= 1)
