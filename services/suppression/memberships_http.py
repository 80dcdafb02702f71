"""The routes of lists: which there are, who is on one, joining and leaving. Each tenant has its own."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression.memberships import Joined, Memberships
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.process import logs
from shared.redis.addressed import END, Place
from shared.redis.members import Counts, Member, State
from shared.words import quotas, scopes
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: Addresses of one request.
MAX_JOINING = 10_000
_CURSOR = "kwDOAAABBa5hbmFAZXhlbXBsZS5mcg"
_LISTS_CURSOR = "qm5ld3NsZXR0ZXI"
_IN_PATH = {"list": says("The name of the list, as jobs have it in `list`.", "newsletter")}
_STOPPED = "The reason for which they get nothing of it all the same; null if they do."
_OF_A_MEMBER = ("invalid_path", "invalid_address", "invalid_list")

_log = logs.get_logger()


class RecipientList(msgspec.Struct, frozen=True, kw_only=True):
    """A list of the tenant's: one that somebody is on, or has left."""

    name: Annotated[str, says("Its name.", "newsletter")]
    members: Annotated[int, says("How many are on it.", 48_211)]
    left: Annotated[int, says("How many left it.", 1_204)]


class RecipientListPage(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of their names."""

    lists: Annotated[list[RecipientList], says("The lists of this page.")]
    next: Annotated[str | None, paging.following(_LISTS_CURSOR)]


class ListMember(msgspec.Struct, frozen=True, kw_only=True):
    """How an address stands to a list."""

    address: Annotated[str, says("The address as lists spell it.", "ana@exemple.fr")]
    state: Annotated[State, says("Whether they `joined` it or have `left` it.", "joined")]
    since: Annotated[str, says("Since when.", "2026-01-31T09:05:00.123Z")]
    stopped: Annotated[str | None, says(_STOPPED, None, "hard_bounce")]


class ListMemberPage(msgspec.Struct, frozen=True, kw_only=True):
    """In an order that never changes."""

    members: Annotated[list[ListMember], says("The addresses of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


class JoiningRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who shall be on the list."""

    addresses: Annotated[
        list[str], msgspec.Meta(min_length=1, max_length=MAX_JOINING), says("Up to 10,000.", ["ana@exemple.fr"])
    ]


class NotJoined(msgspec.Struct, frozen=True):
    """What is no address."""

    index: Annotated[int, says("The place in `addresses`, from 0.", 3)]
    address: Annotated[str, says("The address as it was given.", "ana@exemple")]
    reason: Annotated[str, says("What is wrong with it.", "it has no @")]


class StoppedMember(msgspec.Struct, frozen=True):
    """Who gets nothing of the list, though they are to be on it."""

    address: Annotated[str, says("The address as lists spell it.", "bo@exemple.fr")]
    reason: Annotated[str, says("Why, as a message would be suppressed.", "complaint")]


class JoiningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `joined` and `already` are on the list now; an address that an entry of this list keeps off, of
    another reason than that they left it, is among `stopped` alone."""

    joined: Annotated[int, says("How many are new on the list.", 9_871)]
    already: Annotated[int, says("How many were on it.", 120)]
    came_back: Annotated[int, says("How many had left it; that they did is taken away.", 2)]
    stopped: Annotated[list[StoppedMember], says("Who gets nothing of it all the same, and why.")]
    rejected: Annotated[list[NotJoined], says("What is no address.")]


def _place(text: str) -> Place:
    found = paging.unpack(text, Place)
    if not 0 <= found.reversed < END:
        raise paging.InvalidCursor
    return found


class ListsQuery(msgspec.Struct, frozen=True):
    """Which lists are shown."""

    after: Annotated[str, paging.after(_LISTS_CURSOR), Read(lambda text: paging.unpack(text, str))] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


class MembersQuery(msgspec.Struct, frozen=True):
    """Who is shown."""

    after: Annotated[Place, paging.after(_CURSOR), Read(_place)] = Place()
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    state: Annotated[State, says("Who `joined`, or who has `left`.", "joined")] = "joined"


def routes(memberships: Memberships, partitions: int, defaults: Mapping[str, int]) -> list[api.Route]:
    """`defaults`: the quotas of a tenant that has none of its own."""
    handlers = _Routes(memberships, partitions, defaults)
    return [*_of_lists(handlers), *_of_a_member(handlers)]


def _of_lists(handlers: "_Routes") -> list[api.Route]:
    return [
        api.Route(
            "GET",
            "/v1/lists",
            handlers.list_all,
            "The lists that somebody is on or has left, and how many",
            scope="read",
            name="list_lists",
            tag="lists",
            answers={200: RecipientListPage},
            query=ListsQuery,
        ),
        api.Route(
            "GET",
            "/v1/lists/{list}/members",
            handlers.list_members,
            "Who is on a list, or has left it, page by page; of a list that nobody knows, nobody",
            scope="read",
            name="list_members",
            tag="lists",
            in_path=_IN_PATH,
            answers={200: ListMemberPage},
            problems=("invalid_path", "invalid_list"),
            query=MembersQuery,
        ),
        api.Route(
            "POST",
            "/v1/lists/{list}/members",
            handlers.join_many,
            "Put up to 10,000 addresses on a list: that they left it is taken away, and nothing else that stops them",
            scope="suppress",
            body=JoiningRequest,
            examples={"application/json": {"addresses": ["ana@exemple.fr", "bo@exemple.fr"]}},
            name="join_many",
            tag="lists",
            in_path=_IN_PATH,
            answers={200: JoiningAnswer},
            problems=("invalid_path", "invalid_list"),
        ),
    ]


def _of_a_member(handlers: "_Routes") -> list[api.Route]:
    path = "/v1/lists/{list}/members/{address}"
    return [
        api.Route(
            "GET",
            path,
            handlers.show,
            "Whether an address is on a list, or has left it",
            slashes=True,
            scope="read",
            name="get_member",
            tag="lists",
            in_path=_IN_PATH,
            answers={200: ListMember},
            problems=(*_OF_A_MEMBER, "unknown_member"),
        ),
        api.Route(
            "PUT",
            path,
            handlers.join,
            "Put an address on a list: that they left it is taken away, and nothing else that stops them",
            slashes=True,
            scope="suppress",
            name="join",
            tag="lists",
            in_path=_IN_PATH,
            answers={200: ListMember, 201: ListMember},
            problems=(*_OF_A_MEMBER, "kept_off_list"),
        ),
        api.Route(
            "DELETE",
            path,
            handlers.leave,
            "Take an address off a list: they are unsubscribed from it, whether or not they were on it, and from "
            "nothing else",
            slashes=True,
            scope="suppress",
            name="leave",
            tag="lists",
            in_path=_IN_PATH,
            answers={204: None},
            problems=_OF_A_MEMBER,
        ),
    ]


class _Routes:
    def __init__(self, memberships: Memberships, partitions: int, defaults: Mapping[str, int]) -> None:
        self._memberships = memberships
        self._partitions = partitions
        self._defaults = defaults

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query, tenant, members = api.query_of(request, ListsQuery), _tenant(request), self._memberships.members
        ahead = [name for name in await members.names(tenant) if name > query.after]
        page, following = paging.cut(ahead, query.limit, paging.pack)
        counts = await members.counts(tenant, page)
        shown = [_list(name, one) for name, one in zip(page, counts, strict=True)]
        return api.json_answer(RecipientListPage(lists=shown, next=following))

    async def list_members(self, request: web.Request) -> web.StreamResponse:
        query, tenant, name = api.query_of(request, MembersQuery), _tenant(request), _list_of(request)
        if not 0 <= query.after.partition < self._partitions:
            raise paging.refused(paging.InvalidCursor())
        found, following = await self._memberships.members.page(tenant, name, query.state, query.after, query.limit)
        return api.json_answer(
            ListMemberPage(
                members=await self._shown(tenant, name, found),
                next=None if following is None else paging.pack(following),
            )
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        tenant, name, address = _tenant(request), _list_of(request), _address_of(request)
        return api.json_answer(await self._member(tenant, name, address))

    async def join(self, request: web.Request) -> web.StreamResponse:
        tenant, name, address = _tenant(request), _list_of(request), _address_of(request)
        (joined,) = await self._memberships.join(tenant, name, [address], self._most(request))
        if joined.is_new is None:
            what = f"an entry of this list on the suppression list keeps them off: {joined.stopped}"
            raise Problem("kept_off_list", what, [Fault("address", what)])
        _logged("list_joined", tenant, [joined])
        return api.json_answer(await self._member(tenant, name, address), 201 if joined.is_new else 200)

    async def join_many(self, request: web.Request) -> web.StreamResponse:
        tenant, name = _tenant(request), _list_of(request)
        wanted = await api.read_json(request, JoiningRequest)
        given, rejected = _addresses(wanted.addresses)
        joined = await self._memberships.join(tenant, name, given, self._most(request)) if given else []
        _logged("list_joined", tenant, joined)
        return api.json_answer(
            JoiningAnswer(
                joined=sum(one.is_new is True for one in joined),
                already=sum(one.is_new is False for one in joined),
                came_back=sum(one.came_back for one in joined),
                stopped=[
                    StoppedMember(address, one.stopped)
                    for address, one in zip(given, joined, strict=True)
                    if one.stopped is not None
                ],
                rejected=rejected,
            )
        )

    async def leave(self, request: web.Request) -> web.StreamResponse:
        tenant, name, address = _tenant(request), _list_of(request), _address_of(request)
        left = await self._memberships.leave(tenant, name, [address])
        _log.info("list_left", tenant=tenant, left=left)
        return web.Response(status=204)

    def _most(self, request: web.Request) -> int:
        return quotas.limits(self._defaults, request[api.PRINCIPAL].quotas)["lists"]

    async def _member(self, tenant: str, name: str, address: str) -> ListMember:
        found = await self._memberships.members.find(tenant, name, address)
        if found is None:
            raise Problem("unknown_member", "the address neither joined nor left this list")
        (shown,) = await self._shown(tenant, name, [found])
        return shown

    async def _shown(self, tenant: str, name: str, found: list[Member]) -> list[ListMember]:
        stopped = await self._memberships.stopped(tenant, name, [one.address for one in found])
        return [
            ListMember(address=one.address, state=one.state, since=rfc3339(one.since_ms), stopped=reason)
            for one, reason in zip(found, stopped, strict=True)
        ]


def _addresses(given: list[str]) -> tuple[list[str], list[NotJoined]]:
    """Each address once, as lists spell it; and what is none."""
    found: dict[str, None] = {}
    rejected: list[NotJoined] = []
    for index, text in enumerate(given):
        try:
            found[addresses.parse(text).key] = None
        except addresses.InvalidAddress as fault:
            rejected.append(NotJoined(index, text[: addresses.MAX_ADDRESS_OCTETS], str(fault)))
    return list(found), rejected


def _logged(event: str, tenant: str, joined: list[Joined]) -> None:
    """How many, and nobody: that somebody joined or came back is an event besides."""
    new, back = sum(one.is_new is True for one in joined), sum(one.came_back for one in joined)
    _log.info(event, tenant=tenant, joined=new, came_back=back)


def _tenant(request: web.Request) -> str:
    return request[api.PRINCIPAL].tenant


def _list_of(request: web.Request) -> str:
    """The name in the path. Problem 422 if no list can have it."""
    name = api.path_text(request, "list")
    try:
        return scopes.list_of(scopes.parse(scopes.of_list(name)))
    except ValueError:
        what = f"the name of a list has 1 to {scopes.MAX_LIST_CHARS} printable characters"
        raise Problem("invalid_list", what, [Fault("list", what)]) from None


def _address_of(request: web.Request) -> str:
    try:
        return addresses.parse(api.path_text(request, "address")).key
    except addresses.InvalidAddress as fault:
        raise Problem("invalid_address", f"not an address: {fault}", [Fault("address", str(fault))]) from fault


def _list(name: str, counts: Counts) -> RecipientList:
    return RecipientList(name=name, members=counts.members, left=counts.left)
