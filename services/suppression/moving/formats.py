"""What five other engines write into the files that people take with them, after their documentation: a table. Pure.

Postmark    Suppressions API, dump: `EmailAddress`, `SuppressionReason`, `Origin`, `CreatedAt`
Mailgun     API, Bounces, Complaints, Unsubscribes: `address`, then `code` and `error`, or `tags`; `created_at`
SendGrid    API v3, suppression/{bounces, blocks, spam_reports, invalid_emails, unsubscribes}: `email`, `created`, then
            `reason` and `status`, or `ip`; what its pages export has `Email`, `Date`, `Reason`
SES         API v2, ListSuppressedDestinations: `EmailAddress`, `Reason`, `LastUpdateTime`; the file of an import job:
            `address,BOUNCE` without a heading, or `emailAddress` and `reason`
Mailchimp   the export of an audience: `Email Address`, and `UNSUB_TIME` of who left, `CLEAN_TIME` of who bounced

Which is which is told by the headings alone, by letters and digits, in any case.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.suppression.moving.wishes import SOFT, Act
from shared.words import scopes

#: The cells of a row by the plain name of their column.
Cells = Mapping[str, str]
Acts = tuple[Act, ...]

HARD = (Act("list", "hard_bounce", "all"),)
COMPLAINT = (Act("list", "complaint", "marketing"),)
UNSUBSCRIBED = (Act("list", "unsubscribed", "marketing"),)
MANUAL = (Act("list", "manual", "all"),)
COUNTED = (SOFT,)

Name = Literal[
    "postmark",
    "mailgun-bounces",
    "mailgun-complaints",
    "mailgun-unsubscribes",
    "sendgrid-bounces",
    "sendgrid-blocks",
    "sendgrid-spam-reports",
    "sendgrid-invalid-emails",
    "sendgrid-global-unsubscribes",
    "ses",
    "mailchimp-unsubscribed",
    "mailchimp-cleaned",
]


@dataclass(frozen=True)
class Format:
    """One kind of file, by the plain names of its columns. `needs`: those without which it is none. `told_by`: those by
    which it is recognised, if the heading has no others but the ones in `may_have` (None: any). `email`, `when` and
    `said` are the columns of the address, of the time, and of what was said; `acts` makes of a row what it asks for,
    None if a word in it is not known."""

    name: Name
    needs: frozenset[str]
    acts: Callable[[Cells], Acts | None]
    email: str
    told_by: frozenset[str]
    may_have: frozenset[str] | None = frozenset()
    when: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def is_of(self, columns: frozenset[str]) -> bool:
        """Whether a heading with these columns may be one of it."""
        return self.told_by <= columns and (self.may_have is None or columns <= self.told_by | self.may_have)


def _always(acts: Acts) -> Callable[[Cells], Acts]:
    return lambda _cells: acts


def _by_code(column: str) -> Callable[[Cells], Acts]:
    """A bounce that says of itself that it was temporary (RFC 5321: 4yz; RFC 3463: 4.x.x) is counted, no more."""
    return lambda cells: COUNTED if cells.get(column, "").strip().startswith("4") else HARD


def _postmark(cells: Cells) -> Acts | None:
    reason, origin = cells["suppressionreason"].strip().casefold(), cells.get("origin", "").strip().casefold()
    if reason == "manualsuppression":
        return UNSUBSCRIBED if origin == "recipient" else MANUAL
    return {"hardbounce": HARD, "spamcomplaint": COMPLAINT}.get(reason)


def _ses(cells: Cells) -> Acts | None:
    return {"BOUNCE": HARD, "COMPLAINT": COMPLAINT}.get(cells["reason"].strip().upper())


def _tags(cells: Cells) -> Acts | None:
    """Mailgun's `*` is everything, as is nothing; who left some tags left no more than these, and tags are lists
    here."""
    tags = [tag for one in cells.get("tags", "").strip().strip("[]").split(",") if (tag := one.strip().strip("'\""))]
    if not tags or "*" in tags:
        return UNSUBSCRIBED
    try:
        return tuple(Act("list", "unsubscribed", scopes.parse(scopes.of_list(tag))) for tag in dict.fromkeys(tags))
    except ValueError:
        return None


def _of(*columns: str) -> frozenset[str]:
    return frozenset(columns)


_DATES = ("created", "date", "createdat")

FORMATS: tuple[Format, ...] = (
    Format(
        "postmark",
        _of("emailaddress", "suppressionreason"),
        _postmark,
        "emailaddress",
        told_by=_of("emailaddress", "suppressionreason"),
        may_have=_of("origin", "createdat"),
        when=("createdat",),
    ),
    Format(
        "mailgun-bounces",
        _of("address"),
        _by_code("code"),
        "address",
        told_by=_of("address", "code", "error"),
        may_have=_of("createdat"),
        when=("createdat",),
        said=("code", "error"),
    ),
    Format(
        "mailgun-complaints",
        _of("address"),
        _always(COMPLAINT),
        "address",
        told_by=_of("address", "createdat"),
        when=("createdat",),
    ),
    Format(
        "mailgun-unsubscribes",
        _of("address"),
        _tags,
        "address",
        told_by=_of("address", "tags"),
        may_have=_of("createdat"),
        when=("createdat",),
    ),
    Format(
        "sendgrid-bounces",
        _of("email"),
        _by_code("status"),
        "email",
        told_by=_of("email", "reason"),
        may_have=_of("status", *_DATES),
        when=_DATES,
        said=("status", "reason"),
    ),
    Format(
        "sendgrid-blocks",
        _of("email"),
        _always(COUNTED),
        "email",
        told_by=_of("email", "reason"),
        may_have=_of("status", *_DATES),
        when=_DATES,
        said=("status", "reason"),
    ),
    Format(
        "sendgrid-spam-reports",
        _of("email"),
        _always(COMPLAINT),
        "email",
        told_by=_of("email", "created", "ip"),
        when=_DATES,
    ),
    Format(
        "sendgrid-invalid-emails",
        _of("email"),
        _always(HARD),
        "email",
        told_by=_of("email", "reason"),
        may_have=_of(*_DATES),
        when=_DATES,
        said=("reason",),
    ),
    Format(
        "sendgrid-global-unsubscribes",
        _of("email"),
        _always(UNSUBSCRIBED),
        "email",
        told_by=_of("email", "created"),
        when=_DATES,
    ),
    Format(
        "ses",
        _of("emailaddress", "reason"),
        _ses,
        "emailaddress",
        told_by=_of("emailaddress", "reason"),
        may_have=_of("lastupdatetime"),
        when=("lastupdatetime",),
    ),
    Format(
        "mailchimp-unsubscribed",
        _of("emailaddress"),
        _always(UNSUBSCRIBED),
        "emailaddress",
        told_by=_of("emailaddress", "unsubtime"),
        may_have=None,
        when=("unsubtime", "lastchanged"),
        said=("unsubreason", "unsubcampaigntitle"),
    ),
    Format(
        "mailchimp-cleaned",
        _of("emailaddress"),
        _always(HARD),
        "emailaddress",
        told_by=_of("emailaddress", "cleantime"),
        may_have=None,
        when=("cleantime", "lastchanged"),
        said=("cleancampaigntitle",),
    ),
)
BY_NAME: Mapping[str, Format] = {one.name: one for one in FORMATS}


def recognised(columns: Sequence[str]) -> list[Format]:
    """The formats of which a heading with these plain names may be, none if it is of nobody's."""
    given = frozenset(name for name in columns if name)
    return [one for one in FORMATS if one.is_of(given)]
