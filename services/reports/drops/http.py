"""The routes of drops: a tenant says what goes where and when, and sees what became of it."""

from collections.abc import Callable, Sequence

from aiohttp import web

from services.reports.drops import periods, ssh_keys
from services.reports.drops.drop import Drop, due_ms, is_name
from services.reports.drops.rows import COLUMNS
from services.reports.drops.shown import DropList, DropShown, NewDrop, RunRequest, RunStarted, shown
from services.reports.drops.store import Store, TooMany
from services.reports.drops.target import Folder, Server, parse
from shared.http import api
from shared.mail import addresses
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.outside import Policy, Refused
from shared.process import logs
from shared.redis.suppression import normalised
from shared.words import ids, public
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

_IN_PATH = {"drop": says("The name of the drop: a-z, 0-9 and -, 40 characters at most.", "events")}
_FILTERS = ("types", "job", "tag", "list", "streams", "recipient", "columns")

_log = logs.get_logger()


def routes(
    store: Store,
    vault: Vault,
    policy: Policy,
    most: int,
    now_ms: Callable[[], int],
    chance: Callable[[int], bytes],
    *,
    has_folder: bool,
    enabled: bool,
) -> list[api.Route]:
    """`most`: drops of one tenant; `has_folder`: whether tenants have folders here; `chance(n)` gives n unpredictable
    bytes."""
    handlers = _Routes(store, vault, policy, most, now_ms, chance, has_folder=has_folder, enabled=enabled)

    def route(method: str, path: str, call: api.Call, sentence: str, name: str, **more: object) -> api.Route:
        scope = "read" if method == "GET" else "admin"
        named = _IN_PATH if "{drop}" in path else {}
        return api.Route(method, path, call, sentence, scope=scope, name=name, tag="drops", in_path=named, **more)  # type: ignore[arg-type]

    one, unknown = "/v1/drops/{drop}", ["unknown_drop"]
    return [
        route("GET", "/v1/drops", handlers.list_all, "The drops of the tenant, and how far they are", "list_drops",
              answers={200: DropList}),
        route("GET", one, handlers.show, "A drop, and how far it is", "get_drop", answers={200: DropShown},
              problems=unknown),
        route("PUT", one, handlers.put, "Have events or suppressions written as files, hour by hour or day by day",
              "put_drop", body=NewDrop, answers={200: DropShown, 201: DropShown},
              problems=["invalid_drop", "too_many_drops", "drops_disabled"]),
        route("DELETE", one, handlers.remove, "Remove a drop; its files stay where they are", "delete_drop",
              answers={204: None}, problems=unknown),
        route("POST", f"{one}/run", handlers.run, "Write what is due now, or a period again", "run_drop",
              body=RunRequest, body_optional=True, answers={202: RunStarted},
              problems=[*unknown, "invalid_drop", "drop_disabled", "drops_disabled"]),
    ]  # fmt: skip


class _Routes:
    def __init__(
        self,
        store: Store,
        vault: Vault,
        policy: Policy,
        most: int,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
        *,
        has_folder: bool,
        enabled: bool,
    ) -> None:
        self._store = store
        self._vault = vault
        self._policy = policy
        self._most = most
        self._now_ms = now_ms
        self._chance = chance
        self._has_folder = has_folder
        self._enabled = enabled

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        found = await self._store.of_tenant(request[api.PRINCIPAL].tenant)
        return api.json_answer(DropList([await self._shown(one) for one in found]))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await self._shown(await self._own(request)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        wanted, tenant = await api.read_json(request, NewDrop), request[api.PRINCIPAL].tenant
        self._require_enabled()
        before = await self._store.get(tenant, request.match_info["drop"])
        drop = self._drop(tenant, request.match_info["drop"], wanted, before)
        now_ms = self._now_ms()
        since_ms = min(now_ms, int(wanted.since.timestamp() * 1000)) if wanted.since else now_ms
        begin_ms = max(0, periods.containing(drop.schedule, drop.hour, since_ms).begin_ms)
        moved = before is not None and (before.target, before.kind) != (drop.target, drop.kind)
        try:
            is_new = await self._store.put(drop, self._version(), begin_ms, self._most, moved=moved)
        except TooMany:
            raise Problem("too_many_drops", f"the tenant has {self._most} drops, as many as it may") from None
        _log.info("drop_put", drop=drop.id, new=is_new)
        return api.json_answer(await self._shown(drop), 201 if is_new else 200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        drop = await self._own(request)
        await self._store.remove(drop, self._version())
        _log.info("drop_removed", drop=drop.id)
        return web.Response(status=204)

    async def run(self, request: web.Request) -> web.StreamResponse:
        wanted, drop = await api.read_json_or(request, RunRequest()), await self._own(request)
        self._require_enabled()
        if not drop.enabled:
            raise Problem("drop_disabled", "nothing is written for now: PUT it with enabled: true first")
        now_ms, state = self._now_ms(), await self._store.state(drop)
        again_ms, period = -1, periods.following(drop.schedule, drop.hour, state.next)
        if wanted.time is not None:
            again_ms = int(wanted.time.timestamp() * 1000)
            period = periods.containing(drop.schedule, drop.hour, again_ms)
            if period.begin_ms < 0 or period.end_ms > now_ms:
                raise _invalid(Fault("$.time", f"that period has not ended; it does at {rfc3339(period.end_ms)}"))
        elif due_ms(drop, state) > now_ms and not state.placing:
            again_ms = now_ms - periods.SETTLE_MS - (periods.HOUR_MS if drop.schedule == "hourly" else periods.DAY_MS)
            period = periods.containing(drop.schedule, drop.hour, again_ms)
        if not await self._store.ask(drop, self._version(), again_ms):
            raise _unknown()
        return api.json_answer(RunStarted(rfc3339(period.begin_ms), drop.file_name(period)), 202)

    def _drop(self, tenant: str, name: str, wanted: NewDrop, before: Drop | None) -> Drop:
        """Problem, with all that is wrong at once."""
        faults = [] if is_name(name) else [Fault("drop", "a name is a-z, 0-9 and -, 40 characters at most")]
        faults += _filter_faults(wanted)
        target = self._target(wanted.target, faults)
        host_keys, sealed, public_key = self._keys(tenant, name, wanted, before, target, faults)
        recipient = _address(wanted.recipient, faults)
        if faults:
            raise _invalid(*faults)
        return Drop(
            tenant, name, wanted.kind, wanted.target, wanted.schedule, wanted.hour if wanted.schedule == "daily" else 0,
            tuple(dict.fromkeys(wanted.columns)), tuple(dict.fromkeys(wanted.types)), wanted.job, wanted.tag,
            wanted.list, tuple(dict.fromkeys(wanted.streams)), recipient, host_keys, sealed, public_key,
            wanted.description, wanted.enabled, before.created_ms if before is not None else self._now_ms(),
        )  # fmt: skip

    def _target(self, text: str, faults: list[Fault]) -> Folder | Server | None:
        try:
            target = parse(text, self._policy)
        except Refused as refused:
            faults.append(Fault("$.target", str(refused)))
            return None
        if isinstance(target, Folder) and not self._has_folder:
            faults.append(Fault("$.target", "there are no folders of tenants here: name an SFTP server"))
        return target

    def _keys(
        self,
        tenant: str,
        name: str,
        wanted: NewDrop,
        before: Drop | None,
        target: Folder | Server | None,
        faults: list[Fault],
    ) -> tuple[tuple[str, ...], bytes, str]:
        """Host keys, the private key sealed, and its public half; nothing of a folder."""
        if not isinstance(target, Server):
            given = (("host_key", wanted.host_key), ("private_key", wanted.private_key))
            faults += [Fault(f"$.{at}", "a folder has none") for at, key in given if target is not None and key]
            return (), b"", ""
        host_keys = before.host_keys if before is not None else ()
        if wanted.host_key is not None:
            try:
                host_keys = ssh_keys.host_keys(wanted.host_key)
            except ssh_keys.InvalidKey as fault:
                faults.append(Fault("$.host_key", str(fault)))
        elif not host_keys:
            faults.append(Fault("$.host_key", "without it nobody knows which server it is: ssh-keyscan shows it"))
        if wanted.private_key is None and before is not None and before.sealed:
            return host_keys, before.sealed, before.public_key
        try:
            private = ssh_keys.make() if wanted.private_key is None else ssh_keys.read(wanted.private_key)
        except ssh_keys.InvalidKey as fault:
            faults.append(Fault("$.private_key", str(fault)))
            return host_keys, b"", ""
        sealed = self._vault.seal(private, f"{tenant}/{name}", ssh_keys.SEALED_AS, self._chance(NONCE_BYTES))
        return host_keys, sealed, ssh_keys.public(private)

    def _require_enabled(self) -> None:
        if not self._enabled:
            raise Problem("drops_disabled", "this installation writes no drops (drops.enabled)")

    async def _own(self, request: web.Request) -> Drop:
        found = await self._store.get(request[api.PRINCIPAL].tenant, request.match_info["drop"])
        if found is None:
            raise _unknown()
        return found

    async def _shown(self, drop: Drop) -> DropShown:
        return shown(drop, await self._store.state(drop), self._now_ms())

    def _version(self) -> str:
        return self._chance(8).hex()


def _filter_faults(wanted: NewDrop) -> list[Fault]:
    if wanted.kind == "suppressions":
        return [Fault(f"$.{at}", "only events are filtered") for at in _FILTERS if getattr(wanted, at)]
    faults = _strangers("types", wanted.types, public.TYPES, "type") + _strangers(
        "columns", wanted.columns, COLUMNS, "column"
    )
    if wanted.job and not ids.is_job_id(wanted.job):
        faults.append(Fault("$.job", "not the id of a job"))
    return faults


def _strangers(at: str, given: Sequence[str], known: object, what: str) -> list[Fault]:
    return [
        Fault(f"$.{at}[{place}]", f"there is no {what} {one[:60]!r}")
        for place, one in enumerate(given)
        if one not in known  # type: ignore[operator]
    ]


def _address(text: str, faults: list[Fault]) -> str:
    if not text:
        return ""
    try:
        return normalised(addresses.parse(text).key)
    except addresses.InvalidAddress as fault:
        faults.append(Fault("$.recipient", f"not an address: {fault}"))
        return ""


def _invalid(*faults: Fault) -> Problem:
    return Problem("invalid_drop", "the drop cannot be as asked", list(faults))


def _unknown() -> Problem:
    return Problem("unknown_drop", "there is no such drop")
