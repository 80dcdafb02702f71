"""Writes the golden examples that are missing in `proto/examples`: `python -m tests.contract.make_examples`.

An example is `<Message>/<case>.json`: the fields, and the bytes in hex as an independent writer (msgpack) makes them.
Cases are named after the number of fields the message had when they were made, so that a message that grows gets new
ones beside the old: `full-9`, `minimal-9` (only what has no default is said), `older-8-of-9` and `older-3-of-9` (arrays
that end early) and `newer-9` (a reader of 9 fields meets elements it does not know). What is there is never changed: it
is what old streams and archives hold.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack

from shared.words import events
from tests.contract.fields import defaults

EXAMPLES = Path(__file__).parents[2] / "proto" / "examples" / "v1"

_JOB = "06dndml801in6t31cpig"
#: What a newer writer appends: values of every kind, as nobody knows what is to come.
_UNKNOWN = ["from a newer writer", 17, None, {"nested": [True, 2.5]}]

_OF_A_MESSAGE = {
    "event_id": "5bd1e995a0c4f217",
    "occurred_at": 1_767_225_612_345,
    "tenant": "demo",
    "job": _JOB,
    "ordinal": 41_999,
    "sequence": 12_345,
    "email": "ana.müller@exemple.fr",
}
#: Links and bounces name the message alone.
_OF_A_LINK = {**_OF_A_MESSAGE, "email": None}
_OF_AN_ADDRESS = {**_OF_A_MESSAGE, "job": "", "ordinal": None, "sequence": 0}
_OF_A_JOB = {**_OF_A_MESSAGE, "ordinal": None, "email": None}
_OF_A_TENANT = {**_OF_AN_ADDRESS, "email": None}
_BROWSER = {
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "ip": "2001:db8::17",
}
_HOST = {"site": "mx1.exemple.fr,mx2.exemple.fr", "host": "mx2.exemple.fr"}

#: Message → case → fields; what is left out has its default. Each message has a case `full`: nothing at its default,
#: but where the fact has no such thing.
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "Accepted": {"full": {**_OF_A_MESSAGE, "site": _HOST["site"]}},
    "Rejected": {"full": {**_OF_A_MESSAGE, "email": "pas une adresse", "reason": "invalid_address"}},
    "Suppressed": {
        "full": {**_OF_A_MESSAGE, "reason": "hard_bounce", "where": "relay", "channel": "sms", "scope": "all"},
        "address": {**_OF_AN_ADDRESS, "reason": "complaint", "where": "suppression", "scope": "marketing"},
    },
    "Delivered": {
        "full": {
            **_OF_A_MESSAGE,
            **_HOST,
            "attempt": 3,
            "reply": "250 2.0.0 Ok: queued as 4Xk2Zp0vGjz1\n250 merci",
            "tls": "TLSv1.3",
            "size_bytes": 10_240,
            "duration_ms": 87,
            "source": "mta1",
            "tls_cipher": "TLS_AES_256_GCM_SHA384",
            "tls_policy": "dane",
        },
        "clear_text": {**_OF_A_MESSAGE, **_HOST, "reply": "250 OK", "size_bytes": 900, "duration_ms": 3},
    },
    "Deferred": {
        "full": {
            **_OF_A_MESSAGE,
            **_HOST,
            "attempt": 2,
            "reply": "450 4.2.0 <ana.müller@exemple.fr>: Greylisted, see https://exemple.fr/greylist",
            "reason": "greylisted",
            "retry_at": 1_767_225_912_345,
            "source": "mta1",
        },
        "no_host": {
            **_OF_A_MESSAGE,
            "site": _HOST["site"],
            "reason": "connection_refused",
            "retry_at": 1_767_225_912_345,
        },
    },
    "Bounced": {
        "full": {
            **_OF_A_MESSAGE,
            **_HOST,
            "attempt": 1,
            "reply": "550 5.1.1 User unknown",
            "reason": "mailbox_unknown",
            "kind": "hard",
            "late": True,
            "source": "mta1",
        },
        "late": {**_OF_A_LINK, "reply": "smtp; 552 5.2.2 Mailbox full", "reason": "mailbox_full", "late": True},
        "block": {**_OF_A_MESSAGE, **_HOST, "attempt": 4, "reply": "554 5.7.1 Blocked", "kind": "block"},
    },
    "Failed": {
        "full": {
            **_OF_A_MESSAGE,
            "attempt": 2,
            "site": "exemple.fr",
            "reason": "brought_relay_down",
            "detail": "3 attempts ended the process that made them",
        }
    },
    "Cancelled": {
        "full": {**_OF_A_MESSAGE, "attempt": 1, "site": "exemple.fr", "by": "operator", "why": "a list that was bought"}
    },
    "Acted": {
        "full": {
            **_OF_A_MESSAGE,
            "action": "suspend",
            "target": "site:gmail",
            "who": "key:k3v9x2p0qa",
            "why": "blocks our range, ticket 4711",
            "until_at": 1_767_229_200_000,
            "messages": 120_000,
        },
        "tenant": {**_OF_A_TENANT, "action": "lift", "target": "site:gmail", "who": "ana@console", "why": "mended"},
    },
    "Expired": {"full": {**_OF_A_MESSAGE, **_HOST, "attempt": 12, "reply": "421 4.7.0 Try again later"}},
    "Opened": {
        "full": {**_OF_A_MESSAGE, **_BROWSER, "machine": "image_proxy", "reason": "agent:googleimageproxy"},
        "person": {**_OF_A_LINK, **_BROWSER},
    },
    "Clicked": {
        "full": {
            **_OF_A_MESSAGE,
            **_BROWSER,
            "position": 300,
            "url": "https://exemple.fr/soldes?q=été&page=2#haut",
            "machine": "scanner",
            "reason": "network:barracuda",
        },
        "person": {**_OF_A_LINK, **_BROWSER, "url": "https://exemple.fr/"},
    },
    "DocumentOpened": {
        "full": {
            **_OF_A_MESSAGE,
            **_BROWSER,
            "document": "Devis n° 2026-113",
            "url": "https://exemple.fr/devis/113.pdf?signé",
            "position": 300,
            "machine": "scanner",
            "reason": "network:barracuda",
        },
        "address": {**_OF_AN_ADDRESS, **_BROWSER, "document": "Devis", "url": "https://exemple.fr/devis.pdf"},
    },
    "Unsubscribed": {
        "full": {
            **_OF_A_MESSAGE,
            **_BROWSER,
            "by": "page",
            "scope": "list",
            "list": "lettre d’été",
            "reason": "too_many",
        },
        "mail": {**_OF_A_LINK, "by": "mail"},
        "marketing": {**_OF_A_LINK, **_BROWSER, "by": "page", "scope": "marketing"},
    },
    "OptedIn": {
        "full": {
            **_OF_A_MESSAGE,
            **_BROWSER,
            "channel": "email",
            "list": "newsletter",
            "purpose": "les offres du mois",
            "text": "optin-fr-1",
            "by": "button",
        },
        "address": {**_OF_AN_ADDRESS, "channel": "sms", "by": "api"},
    },
    "PreferencesChanged": {
        "full": {
            **_OF_A_MESSAGE,
            **_BROWSER,
            "joined": "newsletter",
            "left": "offers\nevents",
            "opted_out": "sms\nphone",
            "tracking": "no",
            "objected": "yes",
            "by": "page",
            "text": "preferences-fr-1",
            "marks": "5f0c2a9be417",
            "undone": True,
            "most": 3,
            "days": 7,
        },
        "address": {**_OF_AN_ADDRESS, "tracking": "no", "by": "api", "marks": "5f0c2a9be417 0a1b2c3d4e5f"},
    },
    "Complained": {"full": {**_OF_A_MESSAGE, "feedback_type": "abuse", "reporter": "SomeGenerator/1.0"}},
    "AutoReplied": {"full": {**_OF_A_MESSAGE, "kind": "vacation", "subject": "Absente jusqu’au 3 août"}},
    "Reactivated": {
        "full": {**_OF_A_MESSAGE, "reason": "manual", "channel": "phone", "scope": "list:lettre"},
        "address": {**_OF_AN_ADDRESS, "reason": "api", "scope": "marketing"},
    },
    "Erased": {
        "full": {**_OF_A_MESSAGE, "digest": "6b3f0e9c2d4a8175f0c9e1b2a3d4c5f6", "messages": 12, "by": "request"},
        "tenant": {**_OF_A_TENANT, "digest": "6b3f0e9c2d4a8175f0c9e1b2a3d4c5f6", "messages": 12, "by": "retention"},
    },
    "WebhookDisabled": {
        "full": {
            **_OF_A_MESSAGE,
            "endpoint": "wh_3k9x2p0qa7d5m1zc",
            "url": "https://crm.exemple.fr/estafette",
            "reason": "failing",
            "failing_since_at": 1_767_000_000_000,
        },
        "tenant": {**_OF_A_TENANT, "endpoint": "wh_3k9x2p0qa7d5m1zc", "url": "https://a.example", "reason": "gone"},
    },
    "Replied": {"full": {**_OF_A_MESSAGE, "subject": "Re: Nos offres d’été"}},
    "Finished": {
        "full": {
            **_OF_A_MESSAGE,
            "total": 5_000_000_000,
            "delivered": 4_900_000_000,
            "bounced": 60_000_000,
            "expired": 20_000_000,
            "failed": 1,
            "suppressed": 19_999_990,
            "rejected": 5,
            "cancelled": 4,
        },
        "job": {**_OF_A_JOB, "total": 3, "delivered": 2, "bounced": 1},
    },
    "ContactAdded": {
        "full": {**_OF_A_MESSAGE, "contact": 4_217, "key": "C-10482", "by": "import", "import_number": 12},
        "address": {**_OF_AN_ADDRESS, "contact": 1, "by": "api"},
    },
    "ContactUpdated": {
        "full": {
            **_OF_A_MESSAGE,
            "contact": 4_217,
            "key": "C-10482",
            "by": "import",
            "import_number": 12,
            "changed": "last_name\nvidéo",
        },
        "address": {**_OF_AN_ADDRESS, "contact": 1, "by": "api", "changed": "email"},
    },
    "ContactAtRisk": {
        "full": {**_OF_A_MESSAGE, "contact": 4_217, "key": "C-10482", "reason": "quiet", "days": 180},
        "address": {**_OF_AN_ADDRESS, "contact": 1, "reason": "hard", "days": 90},
    },
    "ActivityRanked": {
        "full": {
            **_OF_A_MESSAGE,
            "active": 3,
            "contacts": 8,
            "notes": "[5,0,0,0,0,0,0,0,1,1,1]",
            "settings": '{"period":{"count":2,"unit":"months"},"least":1,"counts":{"email":["opened"]}}',
        },
        "tenant": {**_OF_A_TENANT, "notes": "[0,0,0,0,0,0,0,0,0,0,0]"},
    },
    "DomainChecked": {
        "full": {
            **_OF_A_MESSAGE,
            "domain": "exemple.fr",
            "state": "pending",
            "waits_for": "dns",
            "published": 2,
            "of": 4,
            "wrong": "TXT e1._domainkey.exemple.fr missing\nTXT _dmarc.exemple.fr differs",
        },
        "tenant": {**_OF_A_TENANT, "domain": "exemple.fr", "state": "verified", "published": 4, "of": 4},
    },
    "AddressStated": {
        "full": {**_OF_A_MESSAGE, "state": "opted_out", "kind": "hard", "source": "import 12"},
        "address": {**_OF_AN_ADDRESS, "state": "opted_in", "source": "api"},
    },
    "RetentionNear": {
        "full": {**_OF_A_MESSAGE, "last_at": 1_672_531_200_000, "erase_at": 1_767_225_600_000},
        "address": {**_OF_AN_ADDRESS, "last_at": 1_672_531_200_000, "erase_at": 1_767_225_600_000},
    },
    "PageViewed": {
        "full": {
            **_OF_A_MESSAGE,
            "url": "https://www.exemple.fr/chaussures",
            "machine": "tool",
            "reason": "agent:headlesschrome",
        },
        "person": {**_OF_A_LINK, "url": "https://www.exemple.fr/été"},
    },
    "VisitorActed": {
        "full": {
            **_OF_A_MESSAGE,
            "name": "purchase",
            "url": "https://www.exemple.fr/merci",
            "value": "59.90",
            "currency": "EUR",
            "properties": '{"category":"été","items":2}',
            "machine": "tool",
            "reason": "agent:headlesschrome",
        },
        "person": {**_OF_A_LINK, "name": "basket", "url": "https://www.exemple.fr/panier"},
    },
    "VisitorConsented": {
        "full": {**_OF_A_MESSAGE, "given": True, "url": "https://www.exemple.fr/"},
        "withdrawn": {**_OF_A_LINK, "url": "https://www.exemple.fr/"},
    },
    "Stopped": {
        "full": {**_OF_A_MESSAGE, "reason": "invalid_rate", "by": "engine", "bad": 27, "of": 480},
        "job": {**_OF_A_JOB, "reason": "paused", "by": "tenant"},
        "tenant": {**_OF_A_TENANT, "reason": "complaint_rate", "by": "engine", "bad": 61, "of": 120_000},
    },
    "Resumed": {
        "full": {**_OF_A_MESSAGE, "reason": "invalid_rate", "by": "tenant"},
        "job": {**_OF_A_JOB, "reason": "paused", "by": "tenant"},
        "tenant": {**_OF_A_TENANT, "reason": "complaint_rate", "by": "tenant"},
    },
    "Warned": {
        "full": {**_OF_A_MESSAGE, "reason": "complaint_rate", "bad": 37, "of": 120_000},
        "tenant": {**_OF_A_TENANT, "reason": "complaint_rate", "bad": 37, "of": 120_000},
    },
    "Intake": {
        "full": {"tenant": "demo", "job": _JOB, "first_ordinal": 4_294_967_295},
        "minimal": {"tenant": "demo", "job": _JOB, "first_ordinal": 0},
    },
    "Ready": {
        "full": {
            "tenant": "demo",
            "job": _JOB,
            "ordinal": 128,
            "email": "ana.müller@exemple.fr",
            "name": "Ana Müller",
            "variables": {"prenom": "Ana", "panier": [{"prix": 12.5, "n": -3}], "vip": True, "solde": None, "é": "🐎"},
            "attempt": 2,
            "expires_at": 1_767_657_600_000,
            "untracked": True,
            "last_reply": "451 4.3.0 Temporary lookup failure",
            "stream": "transactional",
            "at_most_once": True,
            "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "list": "lettre",
            "window": "Europe/Paris 540-1140,540-1140,540-1140,540-1140,540-1140,600-720,",
            "not_before": 1_767_650_400_000,
            "files": '[["Zx1-Y_aQ0b3kD8fGhJ2L","facture.pdf","application/pdf",48213]]',
            "once": "2kQ7mPz0Vb9sXc1d",
        },
        "first_attempt": {
            "tenant": "demo",
            "job": _JOB,
            "ordinal": 0,
            "email": "b@exemple.fr",
            "expires_at": 1_767_657_600_000,
        },
    },
}  # fmt: skip


def examples() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every example of today's messages: its path below `EXAMPLES`, and what it holds."""
    for name, cases in CASES.items():
        default = defaults(events.MESSAGES[name])
        required = {key: value for key, value in cases["full"].items() if key not in default}
        for case, fields in {"minimal": required, **cases}.items():
            yield Path(name, f"{case}-{_count(name)}.json"), _example(_whole(name, fields))
        full = list(_whole(name, cases["full"]).items())
        for elements in {len(required), len(full) - 1} if default else ():
            older = _example(_whole(name, dict(full[:elements])), elements=elements)
            yield Path(name, f"older-{elements}-of-{len(full)}.json"), older
        yield Path(name, f"newer-{len(full)}.json"), _example(dict(full), appended=_UNKNOWN)


def _count(name: str) -> int:
    return len(events.MESSAGES[name].__struct_fields__)


def _whole(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """All the fields of the message in order."""
    values = {**defaults(events.MESSAGES[name]), **fields}
    return {key: values[key] for key in events.MESSAGES[name].__struct_fields__}


def _example(fields: dict[str, Any], elements: int | None = None, appended: list[Any] | None = None) -> dict[str, Any]:
    array = [*fields.values()][:elements] + (appended or [])
    return {"fields": fields, "bytes": msgpack.packb(array).hex()}


def main() -> int:
    """Adds what is missing. 1 if an example that is there would have to be changed."""
    changed = 0
    for path, example in examples():
        file = EXAMPLES / path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(example, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            print(f"added {path}")
        elif json.loads(file.read_text(encoding="utf-8")) != example:
            print(f"{path} is there and says something else: an example is never changed; give the case a new name")
            changed = 1
    return changed


if __name__ == "__main__":
    sys.exit(main())
