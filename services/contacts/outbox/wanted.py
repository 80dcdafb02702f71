"""What a tenant wants to be told of its contacts, one by one. Pure.

Requests are told, imports are not: who sends a file of a million lines asks for one report, and not for a million
events, in which everything else would be hard to find. Whom an import added and updated can be asked for ever (E13).
"""

from typing import Annotated, Literal

import msgspec

from shared.words.described import says

#: How contacts are written, and that they are at risk.
Way = Literal["requests", "imports", "at_risk"]


class ContactEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which contacts `contact.added`, `contact.updated` and `contact.at_risk` tell."""

    requests: Annotated[
        bool, says("Whether those are told that requests add or change (`PUT` and `POST /v1/contacts`).", True)
    ] = True
    imports: Annotated[
        bool, says("Whether those are told that imports add or change: a million of events for a million lines.", True)
    ] = False
    at_risk: Annotated[
        bool, says("Whether those are told that come to be at risk; by an import: where imports are told, too.", True)
    ] = True


#: Of a tenant that said nothing.
USUAL = ContactEvents()


def condition(way: Way, tenants: str) -> str:
    """SQL: whether the tenant of that row of `tenants` wants to be told."""
    usual = "true" if getattr(USUAL, way) else "false"
    return f"coalesce(({tenants}.settings -> 'told' ->> '{way}')::boolean, {usual})"
