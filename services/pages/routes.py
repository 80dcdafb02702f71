"""The pages, put together with the API that they ask and the sessions that they keep."""

from services.pages import documents, http
from services.pages.api import Loopback
from services.pages.drawing import Drawing
from services.pages.pages import Pages
from services.pages.session_keys import PURPOSE, SessionKeys
from services.pages.sessions import Sessions
from services.pages.settings import Pages as PagesSettings
from shared.http.parts import Mounted, Parts
from shared.net.pacing import Pacing
from shared.net.url_host import url_host

#: Addresses from which somebody tried to sign in lately.
ADDRESSES_KEPT = 10_000


def routes(parts: Parts) -> Mounted:
    settings, own = parts.settings, parts.settings.of(PagesSettings)
    keys = SessionKeys(parts.derive(PURPOSE))
    loopback = Loopback(own.api_url or f"http://{url_host(settings.http.host)}:{settings.http.port}")
    pages = Pages(
        Sessions(parts.client, keys, own.session_hours, parts.chance),
        keys,
        loopback.of,
        Drawing(settings.base_url, has_mailbox=settings.relay.route == "mailbox"),
        documents.read(),
        Pacing(parts.monotonic, own.sign_ins_per_minute, 60 / own.sign_ins_per_minute, ADDRESSES_KEPT),
        own.session_hours,
    )
    found = http.routes(
        pages,
        hours=own.session_hours,
        forwarded_hops=settings.tracking.forwarded_hops,
        is_https=settings.base_url.startswith("https://"),
    )
    return Mounted(found, start=loopback.start, close=loopback.close)
