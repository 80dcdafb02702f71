"""`estafette templates`: the stored templates of a tenant."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import fail, minute, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.queueing.template_putting import TemplatePut
    from services.queueing.template_store import TemplateStore

T = TypeVar("T")


@click.group()
def templates() -> None:
    """What a tenant stored for jobs to be made of: list, show, put."""


@templates.command("list")
@click.argument("tenant")
@as_json
def list_templates(tenant: str, as_json: bool) -> None:
    """All templates, by name, as their newest versions are."""
    from services.queueing.templates_http import listed

    heads = _with_store(tenant, lambda store: store.heads(tenant))
    if as_json:
        show_json([listed(name, head) for name, head in heads.items()])
        return
    rows = [
        (name, head.newest.number, minute(head.newest.at_ms), head.layout, " ".join(head.languages), head.subject)
        for name, head in heads.items()
    ]
    show_table(("name", "version", "put", "layout", "languages", "subject"), rows)


@templates.command("show")
@click.argument("tenant")
@click.argument("template")
@click.option("--version", type=click.IntRange(1), help="That one; else the newest.")
def show_template(tenant: str, template: str, version: int | None) -> None:
    """A version as it was put, as one JSON document: `put` takes it back."""
    from services.queueing.templates import shown

    found = _with_store(tenant, lambda store: store.find(tenant, template, version))
    if found is None:
        fail(f"{tenant} has no template {template!r:.80}" + (f" in version {version}" if version else ""))
    show_json(shown(found[1]))


@templates.command("put")
@click.argument("tenant")
@click.argument("template")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def put_template(tenant: str, template: str, file: Path, as_json: bool) -> None:
    """Store a template, or a new version of it, from a JSON file as `PUT /v1/templates/{template}` takes it."""
    raw = file.read_bytes()
    put, is_new = _put(tenant, template, raw)
    if as_json:
        show_json(put)
        return
    word = "stored" if is_new else "changed" if put.changed else "as it was"
    click.echo(f"{word}: {put.name}, version {put.version}")


def _put(tenant: str, template: str, raw: bytes) -> "tuple[TemplatePut, bool]":
    """Compiled in a process of its own, as the API does it."""
    from services.queueing.aside import Aside
    from services.queueing.compiling import Compiler
    from services.queueing.quotas import Room
    from services.queueing.settings import Queueing
    from services.queueing.store import DAY_MS, JobStore
    from services.queueing.template_putting import Putting
    from services.queueing.template_store import TemplateStore
    from shared.process.clock import now_ms
    from shared.process.sandbox import Sandbox, program
    from shared.redis.tenants import Tenants
    from shared.words.errors import Problem

    async def working(client: Any, settings: Settings) -> "tuple[TemplatePut, bool]":
        tenants, mine, partitions = Tenants(client), settings.of(Queueing), settings.redis.partitions
        found = await tenants.get(tenant)
        if found is None:
            raise LookupError(f"there is no tenant {tenant}")
        sandbox = Sandbox(program("services.queueing.compiling"), "console", 1, at_once=False)
        stopping = asyncio.Event()
        running = asyncio.create_task(sandbox.run(stopping))
        jobs = JobStore(client, partitions, mine.max_intake_chunks, mine.open_job_days * DAY_MS)
        room = Room(jobs, settings.quotas.by_name(), now_ms, time.monotonic, tenants)
        store = TemplateStore(client, partitions, time.monotonic)
        putting = Putting(store, Compiler(sandbox), room, Aside(), now_ms)
        try:
            await putting.check(tenant, found.quotas, template)
            return await putting.put(tenant, found.quotas, template, raw)
        except Problem as problem:
            fail("; ".join((problem.detail, *(f"{fault.at}: {fault.what}" for fault in problem.faults))))
        finally:
            stopping.set()
            await running

    return with_redis(working)


def _with_store(tenant: str, work: "Callable[[TemplateStore], Awaitable[T]]") -> T:
    from services.queueing.template_store import TemplateStore

    async def working(client: Any, settings: Settings) -> T:
        await need_tenant(client, tenant)
        return await work(TemplateStore(client, settings.redis.partitions, time.monotonic))

    return with_redis(working)
