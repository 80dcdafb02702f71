"""What is kept of a person elsewhere than with suppression, as the one answer about them shows it: agreed between the
route of people and the services that keep contacts of them.

A service that keeps some hands out a `Keeper` where its routes are put together (`shared.http.parts.Mounted`).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec

from shared.words.described import says


class PersonImport(msgspec.Struct, frozen=True, kw_only=True):
    """A file that had them."""

    id: Annotated[int, says("The import: `GET /v1/contact-imports/{import}`.", 12)]
    name: Annotated[str, says("What it is called.", "Salon 2026")]
    at: Annotated[str, says("When it came.", "2026-01-31T09:05:00.000Z")]
    did: Annotated[Literal["included", "added", "updated"], says("What it did with them.", "added")]


class PersonChange(msgspec.Struct, frozen=True, kw_only=True):
    """Something of them that changed."""

    at: Annotated[str, says("When.", "2026-02-03T10:00:00.000Z")]
    source: Annotated[str, says("By what: `api`, `import 12`, `fact …`.", "import 12")]
    changes: Annotated[dict[str, list[Any]], says("By name what was there, and what is now.", {"town": ["Lens", None]})]


class PersonMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to them, or that they did."""

    at: Annotated[str, says("When.", "2026-02-03T10:00:00.000Z")]
    what: Annotated[str, says("What, in the words of `GET /v1/contact-timeline/{key}`.", "clicked")]
    operation: Annotated[str | None, says("In which job or operation; null: in none.", "068vjfm5s9m2rc1jqqrg")]
    text: Annotated[
        str | None, says("The URL, the page, the event's name, or the kind of a bounce.", "https://exemple.fr/soldes")
    ]
    machine: Annotated[bool, says("Whether a machine did it.", False)]


class PersonChannel(msgspec.Struct, frozen=True, kw_only=True):
    """How they stand on a channel."""

    optin: Annotated[bool | None, says("Whether they agreed; null: not known.", True)]
    status: Annotated[str | None, says("`valid`, `soft` or `hard`; null: not known.", "valid")]
    left: Annotated[bool, says("Whether they unsubscribed.", False)]
    opposed: Annotated[bool, says("Whether they are opposed to prospecting.", False)]
    diagnostic: Annotated[str | None, says("What was said of the address last.", None, "550 5.1.1 No such user here")]


class PersonContact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact with the address: all that its base has of it."""

    id: Annotated[int, says("Its number among the tenant's contacts.", 4_217)]
    key: Annotated[str, says("What tells it apart from others.", "ana@exemple.fr")]
    copy: Annotated[int, says("Which of those that share the key, from 0.", 0)]
    email: Annotated[str | None, says("The address.", "ana@exemple.fr")]
    mobile: Annotated[str | None, says("The mobile telephone.", "+33612345678")]
    telephone: Annotated[str | None, says("Another telephone.", "+33145678901")]
    professional: Annotated[bool, says("Whether they are written to as a professional.", False)]
    fields: Annotated[dict[str, Any], says("The fields that are not empty.", {"first_name": "Ana", "town": "Lens"})]
    channels: Annotated[
        dict[str, PersonChannel],
        says(
            "By channel: `email`, `sms`, `phone`.",
            {"email": {"optin": True, "status": "valid", "left": False, "opposed": False, "diagnostic": None}},
        ),
    ]
    activity: Annotated[int, says("Their activity, from 0 to 10, as it was noted last.", 8)]
    created_at: Annotated[str, says("When they came.", "2026-01-31T09:05:00.123Z")]
    updated_at: Annotated[str, says("When something of them changed last.", "2026-02-03T10:00:00.000Z")]
    last_action_at: Annotated[str | None, says("When they last did something that counts.", "2026-02-03T10:00:00.000Z")]
    imports: Annotated[list[PersonImport], says("The files that had them.")]
    changes: Annotated[list[PersonChange], says("What changed of them, the latest 1,000 first.")]
    changes_next: Annotated[
        str | None,
        says("`after` for `GET /v1/contact-changes/{key}`, which has the others; null: these are all.", None),
    ]
    moments: Annotated[list[PersonMoment], says("What happened to them and what they did, the latest 1,000 first.")]
    moments_next: Annotated[
        str | None,
        says("`after` for `GET /v1/contact-timeline/{key}`, which has the others; null: these are all.", None),
    ]


#: Of a tenant and a normalised address, in the order in which they came. StorageAway.
Keeper = Callable[[str, str], Awaitable[list[PersonContact]]]
