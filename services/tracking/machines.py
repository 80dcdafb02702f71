"""Tells machines from people by what a request says of itself and where it comes from: a pure look-up in tables.

The answer is a verdict: a word, and the reason for it. Both are kept on the fact; nothing is ever dropped for them. ""
is a person as far as one request can tell.

    prefetch       fetched before anybody looks: Apple Mail Privacy Protection, Gmail's prefetch, a browser's own
    image_proxy    the mail provider fetches the image because the person has the mail open: a person behind a machine
    scanner        a security gateway reads the mail before, or instead of, its recipient
    preview        somebody pasted the link, and the messenger shows what is behind it
    crawler        a robot that says so
    tool           a command-line tool, an HTTP library, a driven browser
    empty          no user agent at all: no browser or mail program does that

The reason says what told it, and by which row:

    purpose:prefetch    a header with which a browser says that nobody looks yet
    agent:curl/         the user agent, by the sign of that text; `agent:` alone where there was none
    trap                a link that people do not see was followed
    network:barracuda   the address is in that network (`networks`)

What only the time after delivery can tell (`soon`), and a burst of clicks on many links (`burst`), is decided where the
whole message is known, in reports.

Order matters: the first row that fits wins, so the particular stand before the general.
"""

# ruff: noqa: E501

from functools import lru_cache
from typing import NamedTuple

from services.tracking.networks import Asked, Known
from shared.words.tokens import TRAP_POSITION

WORDS = ("", "prefetch", "image_proxy", "scanner", "preview", "crawler", "tool", "empty")


class Verdict(NamedTuple):
    """`word` is one of `WORDS`; `reason` says what told it, "" for a person."""

    word: str
    reason: str


PERSON = Verdict("", "")
_TRAPPED = Verdict("scanner", "trap")


class Sign(NamedTuple):
    """`text` in lower case, found in the user agent as `how` says; `example` is a user agent that it must find."""

    text: str
    how: str  # "is" | "begins" | "ends" | "has"
    word: str
    example: str


_GMAIL_PREFETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135"
    " Safari/537.36 Edge/12.246"
)

#: Real user agents where their owners publish them or operators of mail report them. Security vendors publish few:
#: where none is known the example is their name as they use it.
SIGNS = (
    # Image proxies. Gmail's and Yahoo's ask when the mail is opened.
    Sign("googleimageproxy", "has", "image_proxy", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"),
    Sign("via ggpht.com", "has", "image_proxy", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com)"),
    Sign("yahoocachesystem", "has", "image_proxy", "YahooCacheSystem"),
    Sign("yahoomailproxy", "has", "image_proxy", "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"),
    # Prefetch. Apple's says nothing but this; Gmail's adds a second Mozilla/5.0 to an Edge that never was.
    Sign("mozilla/5.0", "is", "prefetch", "Mozilla/5.0"),
    Sign("edge/12.246 mozilla/5.0", "ends", "prefetch", _GMAIL_PREFETCH + " Mozilla/5.0"),
    # Security scanners
    Sign("gmail-content-sampling", "ends", "scanner", _GMAIL_PREFETCH + " Gmail-content-sampling"),
    Sign("barracuda", "has", "scanner", "Barracuda Sentinel (EE)"),
    Sign("mimecast", "has", "scanner", "Mimecast-URL-Protect/1.0"),
    Sign("proofpoint", "has", "scanner", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Proofpoint URL Defense"),
    Sign("safelinks", "has", "scanner", "Microsoft Office SafeLinks Protection"),
    Sign("bingpreview", "has", "scanner", "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b"),
    Sign("forcepoint", "has", "scanner", "Mozilla/5.0 (compatible; Forcepoint)"),
    Sign("ironport", "has", "scanner", "Cisco-IronPort"),
    Sign("messagelabs", "has", "scanner", "MessageLabs"),
    Sign("symantec", "has", "scanner", "Symantec Email Security.cloud"),
    Sign("trendmicro", "has", "scanner", "TrendMicro"),
    Sign("fireeye", "has", "scanner", "FireEye"),
    Sign("zscaler", "has", "scanner", "Zscaler"),
    Sign("cloudmark", "has", "scanner", "Cloudmark"),
    Sign("virustotal", "has", "scanner", "Mozilla/5.0 (compatible; VirusTotal)"),
    Sign("urlscan", "has", "scanner", "urlscan.io"),
    # Link previews. The browser inside WhatsApp has its name too, at the end: that is a person.
    Sign("whatsapp/", "begins", "preview", "WhatsApp/2.23.20.0 A"),
    Sign("viber", "begins", "preview", "Viber"),
    Sign("facebookexternalhit", "has", "preview", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"),
    Sign("facebot", "has", "preview", "Facebot/1.0"),
    Sign("slackbot", "has", "preview", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
    Sign("slack-imgproxy", "has", "preview", "Slack-ImgProxy (+https://api.slack.com/robots)"),
    Sign("twitterbot", "has", "preview", "Twitterbot/1.0"),
    Sign("linkedinbot", "has", "preview", "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)"),
    Sign("telegrambot", "has", "preview", "TelegramBot (like TwitterBot)"),
    Sign("discordbot", "has", "preview", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"),
    Sign("skypeuripreview", "has", "preview", "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5"),
    Sign("googlemessages/", "begins", "preview", "GoogleMessages/20"),
    Sign("mattermost-bot", "has", "preview", "mattermost-bot/1.1"),
    Sign("mastodon/", "has", "preview", "Mastodon/4.2.8 (http.rb/5.1.1; +https://mastodon.social/)"),
    Sign("embedly", "has", "preview", "Mozilla/5.0 (compatible; Embedly/0.2; +http://support.embed.ly/)"),
    Sign("microsoft office existence discovery", "has", "preview", "Microsoft Office Existence Discovery"),
    Sign("microsoft office protocol discovery", "has", "preview", "Microsoft Office Protocol Discovery"),
    # Tools
    Sign("curl/", "begins", "tool", "curl/8.9.1"),
    Sign("wget/", "begins", "tool", "Wget/1.21.3"),
    Sign("httpie/", "begins", "tool", "HTTPie/3.2.2"),
    Sign("python", "begins", "tool", "python-requests/2.32.3"),
    Sign("aiohttp/", "has", "tool", "Python/3.11 aiohttp/3.14.5"),
    Sign("go-http-client", "begins", "tool", "Go-http-client/1.1"),
    Sign("java/", "begins", "tool", "Java/17.0.11"),
    Sign("apache-httpclient", "begins", "tool", "Apache-HttpClient/4.5.14 (Java/17.0.11)"),
    Sign("okhttp/", "begins", "tool", "okhttp/4.12.0"),
    Sign("ahc/", "begins", "tool", "AHC/2.1"),
    Sign("libwww-perl", "has", "tool", "libwww-perl/6.67"),
    Sign("lua-resty-http", "begins", "tool", "lua-resty-http/0.10 (Lua) ngx_lua/10012"),
    Sign("ruby", "begins", "tool", "Ruby"),
    Sign("faraday", "begins", "tool", "Faraday v2.9.0"),
    Sign("guzzlehttp", "begins", "tool", "GuzzleHttp/7"),
    Sign("axios/", "begins", "tool", "axios/1.7.2"),
    Sign("node", "begins", "tool", "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"),
    Sign("undici", "begins", "tool", "undici"),
    Sign("postmanruntime", "begins", "tool", "PostmanRuntime/7.39.0"),
    Sign("powershell/", "has", "tool", "Mozilla/5.0 (Windows NT; Windows NT 10.0; fr-FR) WindowsPowerShell/5.1.19041.4522"),
    Sign("headlesschrome", "has", "tool", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36"),
    Sign("phantomjs", "has", "tool", "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1"),
    # Robots that say so. Not "bot" alone: telephones are called Cubot.
    Sign("+http", "has", "crawler", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    Sign("bot/", "has", "crawler", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1)"),
    Sign("crawler", "has", "crawler", "SeznamBot crawler"),
    Sign("spider", "has", "crawler", "Sogou web spider/4.0"),
)  # fmt: skip

#: Values of Sec-Purpose, Purpose, X-Purpose and X-Moz with which a browser says that nobody looks yet.
_AHEAD = ("prefetch", "prerender", "preview")


def verdict(asked: Asked, user_agent: str, purpose: str, ip: str, networks: Known, position: int = -1) -> Verdict:
    """Who asks. `purpose` is the Sec-Purpose header or one of its forerunners, `position` that of the link."""
    if purpose and (ahead := next((word for word in _AHEAD if word in purpose.lower()), "")):
        return Verdict("prefetch", f"purpose:{ahead}")
    told = by_user_agent(user_agent)
    if told.word:
        return told
    if position == TRAP_POSITION:
        return _TRAPPED
    found = networks.find(ip, asked, user_agent)
    return Verdict(found.verdict, f"network:{found.name}") if found else PERSON


@lru_cache(maxsize=4096)
def by_user_agent(user_agent: str) -> Verdict:
    """That of the first sign that fits, a person's if none does. Remembered: the same few thousand come all day."""
    text = user_agent.strip().lower()
    if not text:
        return Verdict("empty", "agent:")
    return next((Verdict(sign.word, f"agent:{sign.text}") for sign in SIGNS if _fits(sign, text)), PERSON)


def _fits(sign: Sign, text: str) -> bool:
    match sign.how:
        case "is":
            return text == sign.text
        case "begins":
            return text.startswith(sign.text)
        case "ends":
            return text.endswith(sign.text)
        case _:
            return sign.text in text
