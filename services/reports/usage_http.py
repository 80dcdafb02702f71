"""The routes of usage: a tenant's own, and for operators that of each tenant."""

from aiohttp import web

from services.reports.usage import (
    COLUMNS,
    MOST_TENANTS,
    InstallationUsage,
    InstallationUsageQuery,
    UsageAnswer,
    UsageExportQuery,
    UsageQuery,
    UsageReader,
    rows,
    shown_day,
)
from shared.http import api, paging
from shared.redis.tenants import Tenants


def routes(reader: UsageReader, tenants: Tenants) -> list[api.Route]:
    handlers = _Routes(reader, tenants)
    return [
        api.Route(
            "GET",
            "/v1/usage",
            handlers.show,
            "What the tenant used day by day: mails, API calls, stored bytes",
            scope="read",
            name="get_usage",
            tag="usage",
            answers={200: UsageAnswer},
            query=UsageQuery,
        ),
        api.Route(
            "GET",
            "/v1/installation/usage",
            handlers.show_all,
            "What each tenant used, page by page",
            scope="operator",
            name="get_installation_usage",
            tag="usage",
            answers={200: InstallationUsage},
            query=InstallationUsageQuery,
        ),
        api.Route(
            "GET",
            "/v1/installation/usage/export",
            handlers.export,
            "What each tenant used, as one file: a row each, or one for each day of it",
            scope="operator",
            name="export_installation_usage",
            tag="usage",
            answers={200: "text/csv"},
            query=UsageExportQuery,
        ),
    ]


class _Routes:
    def __init__(self, reader: UsageReader, tenants: Tenants) -> None:
        self._reader = reader
        self._tenants = tenants

    async def show(self, request: web.Request) -> web.StreamResponse:
        query, tenant = api.query_of(request, UsageQuery), request[api.PRINCIPAL].tenant
        below = await self._tenants.sub_accounts(tenant) if query.sub_accounts else []
        tenants = [tenant, *(one.name for one in below)]
        return api.json_answer(await self._reader.of_tenants(tenants, query.since, query.until))

    async def show_all(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, InstallationUsageQuery)
        first, last = self._reader.span(query.since, query.until)
        names = [tenant.name for tenant in await self._tenants.all() if tenant.name > query.after]
        page, following = paging.cut(names, query.limit, lambda name: name)
        shown = await self._reader.of_each(page, first, last, by_day=query.by == "day")
        return api.json_answer(
            InstallationUsage(since=shown_day(first), until=shown_day(last), tenants=shown, next=following)
        )

    async def export(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, UsageExportQuery)
        first, last = self._reader.span(query.since, query.until)
        names = [tenant.name for tenant in await self._tenants.all()]
        name = f"usage-{shown_day(first)}-{shown_day(last)}.csv"
        response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
        response.content_type, response.charset = "text/csv", "utf-8"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await response.write((",".join(COLUMNS) + "\r\n").encode())
        for at in range(0, len(names), MOST_TENANTS):
            shown = await self._reader.of_each(names[at : at + MOST_TENANTS], first, last, by_day=query.by == "day")
            if text := rows(shown, by_day=query.by == "day"):
                await response.write(text.encode())
        await response.write_eof()
        return response
