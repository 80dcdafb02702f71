"""What the API answers, as its documents show it: for the pages that ask it."""

from typing import Any


def engagement(unique: int, total: int, machine: int) -> dict[str, Any]:
    return {"unique": unique, "total": total, "machine": {"unique": machine, "total": machine}}


COUNTS: dict[str, Any] = {
    "accepted": 985,
    "rejected": 5,
    "suppressed": {"total": 12, "at_queueing": 10, "at_attempt": 2},
    "delivered": 945,
    "bounced": {"total": 31, "hard": 24, "soft": 5, "block": 2, "late": 1},
    "expired": 3,
    "failed": 0,
    "cancelled": {"total": 0, "at_queueing": 0, "later": 0},
    "pending": 4,
    "deferred": {"current": 4, "unique": 57, "total": 83},
    "opens": engagement(412, 655, 91),
    "clicks": engagement(92, 120, 33),
    "documents": engagement(41, 58, 12),
    "complaints": 1,
    "unsubscriptions": 7,
    "auto_replies": 18,
}
RATES = {
    "delivered": 0.9594, "bounced": 0.0315, "opened": 0.436, "clicked": 0.0974, "complained": 0.0011,
    "unsubscribed": 0.0074,
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "068vjfm5s9m2rc1jqqrg", "state": "queued", "stopped": None, "stream": "bulk", "rate": None,
    "from": "Chouette <news@exemple.fr>", "subject": "Bonjour <b>{{ prenom }}</b>", "list": "newsletter",
    "category": None, "tags": ["soldes"], "test": False, "created_at": "2026-01-31T09:05:00.123Z",
    "send_at": None, "expires_at": "2026-02-04T07:00:00.000Z", "total": 1000, "counts": COUNTS, "rates": RATES,
    "links": [{"url": "https://exemple.fr/<x>", "positions": [0, 2], "unique": 92, "total": 120, "machine_total": 3}],
    "positions": [
        {"position": 0, "url": "https://exemple.fr/<x>", "name": "", "unique": 50, "total": 60, "machine_total": 1},
        {"position": 2, "url": "https://exemple.fr/<x>", "name": "bouton", "unique": 50, "total": 60,
         "machine_total": 2},
    ],
    "documents": [{"name": None, "positions": [], "unique": 41, "total": 58, "machine_total": 12}],
}  # fmt: skip

#: A job of nearly everybody alive, whose words have no place to break.
LARGE: dict[str, Any] = {
    **JOB, "id": "068vjfm5s9m2rc1jqqrh", "subject": 120 * "ä", "from": f"{60 * 'x'}@{60 * 'x'}.example.org",
    "list": 64 * "l", "category": 64 * "c", "tags": [64 * "t", 64 * "u"], "total": 8_123_456_789,
    "counts": {
        **COUNTS, "accepted": 8_123_456_789, "delivered": 8_023_456_789, "pending": 123_456_789,
        "opens": engagement(4_123_456_789, 9_123_456_789, 3_123_456_789),
        "clicks": engagement(1_123_456_789, 2_123_456_789, 1_123_456_789),
    },
    "links": [
        {**JOB["links"][0], "url": f"https://exemple.fr/{200 * 'x'}", "unique": 1_123_456_789, "total": 2_123_456_789}
    ],
    "positions": [
        {**one, "name": 64 * "n", "url": f"https://exemple.fr/{200 * 'x'}", "unique": 1_123_456_789,
         "total": 1_123_456_789}
        for one in JOB["positions"]
    ],
    "documents": [{**JOB["documents"][0], "name": 64 * "d", "unique": 1_123_456_789, "total": 1_123_456_789}],
}  # fmt: skip


def row(**fields: Any) -> dict[str, Any]:
    return {
        "id": JOB["id"], "tenant": "acme", "state": "queued", "stream": "bulk", "from": JOB["from"],
        "subject": JOB["subject"], "list": "news & co", "tags": ["a<b"], "created_at": JOB["created_at"],
        "total": 1000, "delivered": 945, "bounced": 31, "cancelled": 0, "pending": 4, **fields,
    }  # fmt: skip


#: By the path that is asked.
ANSWERS: dict[str, Any] = {
    "/v1/jobs": {
        "jobs": [
            row(),
            row(id="068vjfm5s9m2rc1jqqrh", state="done", pending=0, subject="Votre facture", list=None, tags=[]),
            row(id="068vjfm5s9m2rc1jqqri", state="stopped", delivered=12, pending=900, subject="L" + 60 * "o" + "ng"),
            row(id="068vjfm5s9m2rc1jqqrj", state="open", delivered=0, bounced=0, pending=0, total=0),
        ],
        "next": "068vjfm5s9m2rc1jqqrj",
    },
    f"/v1/jobs/{JOB['id']}": JOB,
    f"/v1/jobs/{LARGE['id']}": LARGE,
}
