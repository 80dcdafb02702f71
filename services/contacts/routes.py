"""The routes of contacts, put together."""

from services.contacts import fields_http, http, segments_http
from services.contacts import settings as own
from services.contacts.contacts import Contacts
from services.contacts.database import Database
from services.contacts.field_book import FieldBook
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    mine = parts.settings.of(own.Contacts)
    if not mine.url:
        none = [*http.routes(None), *fields_http.routes(None), *segments_http.routes(None, parts.now_ms)]
        return Mounted(none, http.MAX_BODY_BYTES)
    database = Database(mine.url, mine.connections, mine.statement_seconds)
    return Mounted(
        [
            *http.routes(Contacts(database)),
            *fields_http.routes(FieldBook(database)),
            *segments_http.routes(database, parts.now_ms),
        ],
        http.MAX_BODY_BYTES,
        close=database.close,
    )
