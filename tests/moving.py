"""What five other engines export, an example of each kind, and what becomes of it here."""

from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parent / "data/suppressions"
#: An address, the stream of a mail to it, and the reason for which it is not sent, or None.
Stopped = tuple[str, str, str | None]

CSV, JSON, LINES = "text/csv", "application/json", "application/x-ndjson"


@dataclass(frozen=True)
class Example:
    """`row` is a line of such a file with `%d` in its address, `around` what stands before and behind all of them and
    between two. `dated` came with a time, which is `dated_ms`; None of each where the file has none."""

    file: str
    content_type: str
    format: str
    results: dict[str, int]
    stopped: tuple[Stopped, ...]
    row: str
    around: tuple[str, str, str]
    dated: str
    dated_ms: int
    query: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return (DATA / self.file).read_bytes()


def many(example: Example, lines: int) -> tuple[bytes, int]:
    """A file of that kind with so many lines, each about an address of its own."""
    before, between, behind = example.around
    rows = between.join(example.row % number for number in range(lines))
    return (before + rows + behind).encode(), lines


def _heading(file: str) -> str:
    return (DATA / file).read_text("utf-8").splitlines()[0] + "\r\n"


_OCTOBER_MS = 1_729_276_094_000
_MAILGUN = '"Fri, 18 Oct 2024 18:28:14 UTC"'
_MAILCHIMP = ",,2,,,,,,,,,,,,,"
#: The time of an import that says none.
NOW_MS = 1_800_000_000_000

EXAMPLES = (
    Example(
        "postmark-dump.json",
        JSON,
        "postmark",
        {"listed": 5, "refused": 1},
        (
            ("gone@exemple.fr", "transactional", "hard_bounce"),
            ("spam@exemple.fr", "bulk", "complaint"),
            ("spam@exemple.fr", "transactional", None),
            ("left@exemple.fr", "bulk", "unsubscribed"),
            ("left@exemple.fr", "transactional", None),
            ("ours@exemple.fr", "transactional", "manual"),
        ),
        '{"EmailAddress": "a%d@exemple.fr", "SuppressionReason": "HardBounce", "Origin": "Recipient"}',
        ('{"Suppressions": [', ",", "]}"),
        "gone@exemple.fr",
        1_575_986_313_000,
    ),
    Example(
        "postmark.csv",
        CSV,
        "postmark",
        {"listed": 2},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("spam@exemple.fr", "bulk", "complaint")),
        "a%d@exemple.fr,SpamComplaint,Recipient,2019-12-10T08:58:33-05:00",
        (_heading("postmark.csv"), "\n", "\n"),
        "gone@exemple.fr",
        1_575_986_313_000,
    ),
    Example(
        "mailgun-bounces.csv",
        CSV,
        "mailgun-bounces",
        {"listed": 2, "counted": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("full@exemple.fr", "bulk", None)),
        f'a%d@exemple.fr,550,"5.1.1 No such user, ""x""",{_MAILGUN}',
        (_heading("mailgun-bounces.csv"), "\n", "\n"),
        "gone@exemple.fr",
        _OCTOBER_MS,
    ),
    Example(
        "mailgun-bounces.json",
        JSON,
        "mailgun-bounces",
        {"listed": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"),),
        f'{{"address": "a%d@exemple.fr", "code": "550", "error": "no", "created_at": {_MAILGUN}}}',
        ('{"items": [', ",", '], "paging": {}}'),
        "gone@exemple.fr",
        _OCTOBER_MS,
    ),
    Example(
        "mailgun-complaints.csv",
        CSV,
        "mailgun-complaints",
        {"listed": 2},
        (("spam@exemple.fr", "bulk", "complaint"), ("spam@exemple.fr", "transactional", None)),
        f"a%d@exemple.fr,{_MAILGUN}",
        (_heading("mailgun-complaints.csv"), "\n", "\n"),
        "spam@exemple.fr",
        _OCTOBER_MS,
    ),
    Example(
        "mailgun-unsubscribes.csv",
        CSV,
        "mailgun-unsubscribes",
        {"listed": 3},
        (
            ("left@exemple.fr", "bulk", "unsubscribed"),
            ("all@exemple.fr", "bulk", "unsubscribed"),
            ("part@exemple.fr", "bulk", None),
        ),
        f"a%d@exemple.fr,*,{_MAILGUN}",
        (_heading("mailgun-unsubscribes.csv"), "\n", "\n"),
        "part@exemple.fr",
        _OCTOBER_MS,
    ),
    Example(
        "mailgun-unsubscribes.json",
        JSON,
        "mailgun-unsubscribes",
        {"listed": 2},
        (("left@exemple.fr", "bulk", "unsubscribed"), ("part@exemple.fr", "bulk", None)),
        f'{{"address": "a%d@exemple.fr", "tags": ["*"], "created_at": {_MAILGUN}}}',
        ('{"items": [', ",", "]}"),
        "left@exemple.fr",
        _OCTOBER_MS,
    ),
    Example(
        "sendgrid-bounces.csv",
        CSV,
        "sendgrid-bounces",
        {"listed": 1, "counted": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("full@exemple.fr", "bulk", None)),
        '5.1.1,"550 5.1.1 no, such",a%d@exemple.fr,1443651125',
        (_heading("sendgrid-bounces.csv"), "\n", "\n"),
        "gone@exemple.fr",
        1_443_651_125_000,
        {"format": "sendgrid-bounces"},
    ),
    Example(
        "sendgrid-bounces.json",
        JSON,
        "sendgrid-bounces",
        {"listed": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"),),
        '{"created": 1443651125, "email": "a%d@exemple.fr", "reason": "550", "status": "5.1.1"}',
        ("[", ",", "]"),
        "gone@exemple.fr",
        1_443_651_125_000,
        {"format": "sendgrid-bounces"},
    ),
    Example(
        "sendgrid-blocks.json",
        JSON,
        "sendgrid-blocks",
        {"counted": 2},
        (("busy@exemple.fr", "bulk", None), ("busy2@exemple.fr", "bulk", None)),
        '{"created": 1443651154, "email": "a%d@exemple.fr", "reason": "554 blocked", "status": "5.7.1"}',
        ("[", ",", "]"),
        "",
        0,
        {"format": "sendgrid-blocks"},
    ),
    Example(
        "sendgrid-spam-reports.csv",
        CSV,
        "sendgrid-spam-reports",
        {"listed": 1},
        (("spam@exemple.fr", "bulk", "complaint"),),
        "198.51.100.7,a%d@exemple.fr,1443651141",
        (_heading("sendgrid-spam-reports.csv"), "\n", "\n"),
        "spam@exemple.fr",
        1_443_651_141_000,
    ),
    Example(
        "sendgrid-invalid-emails.csv",
        CSV,
        "sendgrid-invalid-emails",
        {"listed": 1},
        (("gone@invalid.example", "transactional", "hard_bounce"),),
        "a%d@exemple.fr,2015-09-30 22:12:21,Mail domain mentioned in email address is unknown",
        (_heading("sendgrid-invalid-emails.csv"), "\n", "\n"),
        "gone@invalid.example",
        1_443_651_141_000,
        {"format": "sendgrid-invalid-emails"},
    ),
    Example(
        "sendgrid-global-unsubscribes.csv",
        CSV,
        "sendgrid-global-unsubscribes",
        {"listed": 2},
        (("left@exemple.fr", "bulk", "unsubscribed"), ("left2@exemple.fr", "transactional", None)),
        "a%d@exemple.fr,1443651141",
        (_heading("sendgrid-global-unsubscribes.csv"), "\n", "\n"),
        "left@exemple.fr",
        1_443_651_141_000,
    ),
    Example(
        "ses-list.json",
        JSON,
        "ses",
        {"listed": 2},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("spam@exemple.fr", "bulk", "complaint")),
        '{"EmailAddress": "a%d@exemple.fr", "Reason": "BOUNCE", "LastUpdateTime": "2020-04-10T21:03:05Z"}',
        ('{"SuppressedDestinationSummaries": [', ",\n", "]}"),
        "spam@exemple.fr",
        1_586_552_585_000,
    ),
    Example(
        "ses-import.csv",
        CSV,
        "ses",
        {"listed": 2, "refused": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("spam@exemple.fr", "bulk", "complaint")),
        "a%d@exemple.fr,BOUNCE",
        ("", "\n", "\n"),
        "gone@exemple.fr",
        NOW_MS,
    ),
    Example(
        "ses-import.ndjson",
        LINES,
        "ses",
        {"listed": 2},
        (("gone@exemple.fr", "transactional", "hard_bounce"), ("spam@exemple.fr", "bulk", "complaint")),
        '{"emailAddress": "a%d@exemple.fr", "reason": "COMPLAINT"}',
        ("", "\n", "\n"),
        "spam@exemple.fr",
        NOW_MS,
    ),
    Example(
        "mailchimp-unsubscribed.csv",
        CSV,
        "mailchimp-unsubscribed",
        {"listed": 2},
        (("left@exemple.fr", "bulk", "unsubscribed"), ("left2@exemple.fr", "transactional", None)),
        f'a%d@exemple.fr{_MAILCHIMP},"2021-05-06 07:08:09","Soldes, été",,,,,,,',
        (_heading("mailchimp-unsubscribed.csv"), "\r\n", "\r\n"),
        "left@exemple.fr",
        1_620_284_889_000,
    ),
    Example(
        "mailchimp-cleaned.csv",
        CSV,
        "mailchimp-cleaned",
        {"listed": 1},
        (("gone@exemple.fr", "transactional", "hard_bounce"),),
        f'a%d@exemple.fr{_MAILCHIMP},"2021-05-06 07:08:09","Soldes, été",,,,,',
        (_heading("mailchimp-cleaned.csv"), "\r\n", "\r\n"),
        "gone@exemple.fr",
        1_620_284_889_000,
    ),
)
