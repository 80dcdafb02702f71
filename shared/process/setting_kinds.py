"""What settings take: numbers with their bounds, texts with their pattern, each told in words for people."""

from typing import Annotated

from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
#: What all who count with it, Redis' scripts too, have room for.
MOST = 1 << 53
Positive = Annotated[int, Meta(ge=1, le=MOST)]
NotNegative = Annotated[int, Meta(ge=0, le=MOST)]
# What a pattern means stands beside it: that is what people are told.
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^$|^rediss?(\+cluster|\+sentinel)?://[^\s]+$|^unix:///[^\s]+$",
        description=(
            "redis://host:port/0, unix:///path, redis+cluster://host:port,host:port or "
            "redis+sentinel://host:port,host:port/master; rediss instead of redis for TLS"
        ),
    ),
]
HttpUrl = Annotated[
    str,
    Meta(
        pattern=r"^$|^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="a web address without query, as https://links.acme.example",
    ),
]
Route = Annotated[
    str,
    Meta(pattern=r"^(mailbox|mx|smtp://[^\s/@]+:[0-9]{1,5})$", description="mailbox, mx, or smtp://host:port"),
]
Networks = Annotated[
    str,
    Meta(
        pattern=r"^$|^ *[0-9A-Fa-f.:]+(/[0-9]{1,3})?( *, *[0-9A-Fa-f.:]+(/[0-9]{1,3})?)* *$",
        description="networks or addresses with commas between, as 192.0.2.0/24,2001:db8::/32",
    ),
]
Ports = Annotated[
    str,
    Meta(pattern=r"^$|^[0-9]{1,5}(,[0-9]{1,5})*$", description="ports with commas between and no blanks, as 443,8443"),
]
Address = Annotated[str, Meta(pattern=r"^$|^[^@\s]+@[^@\s]+$", description="an address, as postmaster@acme.example")]
Seconds = Annotated[
    str,
    Meta(pattern=r"^$|^[0-9]+(,[0-9]+)*$", description="seconds with commas between and no blanks, as 60,300,3600"),
]
