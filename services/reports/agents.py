"""With what somebody read a mail, by the user agent: the kind of device, and the program. Pure.

A look-up in tables, the first row that fits wins, so the particular stand before the general. Mail programs that show a
page as a browser does are told by what they add to it. What the image proxy of a mail provider fetched says whose
mailbox it is, and not on which device it was open.
"""

from functools import lru_cache
from typing import NamedTuple

#: What is not told by any row.
UNKNOWN = "other"

#: Text in lower case, in the user agent → the program.
CLIENTS = (
    ("googleimageproxy", "gmail"),
    ("ggpht.com", "gmail"),
    ("yahoocachesystem", "yahoo"),
    ("yahoomailproxy", "yahoo"),
    ("ymail", "yahoo"),
    ("thunderbird", "thunderbird"),
    ("microsoft outlook", "outlook"),
    ("msoffice", "outlook"),
    ("outlook-ios", "outlook"),
    ("outlook-android", "outlook"),
    ("samsung email", "samsung_mail"),
    ("gsa/", "google_app"),
    ("edg/", "edge"),
    ("edga/", "edge"),
    ("edgios/", "edge"),
    ("edge/", "edge"),
    ("opr/", "opera"),
    ("opera", "opera"),
    ("samsungbrowser/", "samsung_browser"),
    ("firefox/", "firefox"),
    ("fxios/", "firefox"),
    ("crios/", "chrome"),
    ("chrome/", "chrome"),
    ("chromium/", "chrome"),
    ("msie ", "internet_explorer"),
    ("trident/", "internet_explorer"),
    ("version/", "safari"),
    # What WebKit says of itself where no browser names itself: Apple's own mail program shows a mail so.
    ("applewebkit/", "apple_mail"),
)
#: The same for the device. A tablet says it is mobile, too; Android without that word is a tablet.
DEVICES = (
    ("googleimageproxy", UNKNOWN),
    ("ggpht.com", UNKNOWN),
    ("ipad", "tablet"),
    ("tablet", "tablet"),
    ("iphone", "mobile"),
    ("ipod", "mobile"),
    ("mobile", "mobile"),
    ("outlook-ios", "mobile"),
    ("outlook-android", "mobile"),
    ("android", "tablet"),
    ("windows", "desktop"),
    ("macintosh", "desktop"),
    ("x11", "desktop"),
    ("cros ", "desktop"),
    ("linux", "desktop"),
)


class Agent(NamedTuple):
    """`device` is `desktop`, `mobile`, `tablet` or `other`, `client` a word of `CLIENTS` or `other`."""

    device: str
    client: str


@lru_cache(maxsize=8192)
def agent_of(user_agent: str) -> Agent:
    """What the user agent says."""
    text = user_agent.lower()
    return Agent(_first(DEVICES, text), _first(CLIENTS, text))


def _first(table: tuple[tuple[str, str], ...], text: str) -> str:
    return next((word for sign, word in table if sign in text), UNKNOWN)
