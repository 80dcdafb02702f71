"""The routes of contacts, put together."""

from services.contacts import (
    fields_http,
    http,
    imports_http,
    rank_http,
    risk_http,
    segments_http,
    timeline_http,
    told_http,
)
from services.contacts import settings as own
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts
from services.contacts.field_book import FieldBook
from services.contacts.person import Person
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    """Without a database each route says that there are no contacts."""
    mine = parts.settings.of(own.Contacts)
    database = Database(mine.url, mine.connections, mine.statement_seconds) if mine.url else None
    contacts = None if database is None else Contacts(database)
    return Mounted(
        [
            *http.routes(contacts),
            *timeline_http.routes(contacts),
            *fields_http.routes(None if database is None else FieldBook(database)),
            *segments_http.routes(database, parts.now_ms),
            *imports_http.routes(database),
            *rank_http.routes(database, parts.now_ms),
            *told_http.routes(database),
            *risk_http.routes(database),
        ],
        http.MAX_BODY_BYTES,
        close=None if database is None else database.close,
        keeper=None if database is None else Person(database).kept,
    )
