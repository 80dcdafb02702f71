"""Mails of every kind, the same at each run: made by the relay's own code from contents drawn with a fixed seed; and
bare ones, of fields and bodies as no content of ours would give them."""

import re
from collections.abc import Iterator
from random import Random

import msgspec

from services.queueing.attachments import Attachment
from services.relay.signing.dkim import Signer, sign
from shared.words import content, events, ids
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.rendering import RendererHere
from tests.jobs import compile_job

DOMAIN = "exemple.test"
SEED = 8463
#: Made by the relay; bare ones.
MADE, BARE = 160, 40
NOW_MS = 1_790_000_000_000

_NAMES = (
    "",
    "Ana",
    "Zoë Œuvre",
    'O\'Neill, "Bo"',
    "李小龍",
    "مريم",
    "🦉 Chouette",
    "Ж" * 60,
    "a" * 250,
    "=?utf-8?q?no?=",
)
_WORDS = (
    "mot",
    "été",
    "🦉",
    "=",
    "=20",
    ".",
    "..",
    "From ",
    ">From",
    "-- ",
    "{{ prenom }}",
    "﷽",
    "\u2028",
    "a\tb",
    "  ",
)
#: A subject is one line.
_SUBJECT_WORDS = [word for word in _WORDS if word.isprintable()]
_LINES = ("", ".", "..", ".x", " ", "\t", " \t ", "x  ", "From here", "x" * 998, "é" * 700, "mot " * 400, "=", "--=_")
_ENDS = ("", "\n", "\n\n\n", " \n \n", "\r\n\r\n")


def mails(signers: list[Signer]) -> Iterator[bytes]:
    """MADE + BARE of them, each whole and signed."""
    chance = Random(SEED)
    for number in range(MADE):
        yield _made(chance, number, signers)
    for _ in range(BARE):
        yield _bare(chance, signers)


def _made(chance: Random, number: int, signers: list[Signer]) -> bytes:
    text, html = (
        _text(chance),
        f"<html><body>{_text(chance)}<a href='https://exemple.fr/?a=1&amp;b=2'>x</a></body></html>",
    )
    which = chance.randrange(4)
    compiled = compile_job(
        from_=f"{_quoted(chance.choice(_NAMES))} <news@{DOMAIN}>",
        subject=" ".join(chance.choices(_SUBJECT_WORDS, k=chance.choice((0, 1, 5, 60)))).strip() or "x",
        text=text if which != 1 else None,
        html=html if which != 0 else None,
        stream=chance.choice(("bulk", "bulk", "transactional", "one_to_one")),
        reply_to=chance.choice((None, f"contact@{DOMAIN}", f"{_quoted('Réponse')} <a@{DOMAIN}>")),
        headers=chance.choice(
            ({}, {"X-Long": "mot " * 200 + "fin"}, {"List-Id": f"<n.{DOMAIN}>", "X-É"[:2] + "A": "a  b"})
        ),
        attachments=[Attachment("plié.bin", "AAECA/8=")] if which == 3 else [],
        variables={"prenom": chance.choice(_NAMES)},
        category=chance.choice(("", "Soldes d'été")),
    )
    assert isinstance(compiled, content.CompiledContent), compiled
    job_id = ids.new_job_id(NOW_MS, number.to_bytes(6, "big"), 8)
    renderer = RendererHere(
        compiled,
        job=job_id,
        tenant="demo",
        tokens=TokenKeys(b"k" * 32),
        verp=VerpKeys(b"k" * 32),
        base_url="https://t.exemple.test",
        marks_key=b"chance",
        bounce_domain=f"bounces.{DOMAIN}",
        sender_id="estafette",
    )
    ready = events.Ready(
        tenant="demo",
        job=job_id,
        ordinal=number,
        email=chance.choice(("ana@peer.test", "zoë@peer.test", "a.b+c@peer.test")),
        name=chance.choice(_NAMES),
        variables=msgspec.Raw(msgspec.msgpack.encode({"prenom": chance.choice(_NAMES)})),
        untracked=chance.random() < 0.3,
    )
    mail = renderer.render(ready, NOW_MS, complaints=True)
    assert mail.is_wire_ready
    return mail.assemble(sign(signers, mail.headers, mail.body, NOW_MS // 1000))


def _bare(chance: Random, signers: list[Signer]) -> bytes:
    fields = [
        (b"From", b"a@exemple.test"),
        (b"To", chance.choice((b"b@peer.test", "zoë@peer.test".encode()))),
        (b"Subject", _folded(chance)),
        (b"Date", b"Mon, 21 Sep 2026 14:13:20 +0000"),
        (b"X-Folded", _folded(chance)),
        (b"Reply-To", b"a@exemple.test,\r\n\tb@exemple.test"),
    ]
    chance.shuffle(fields)
    # In relaxed form, as `sign` asks for; 8-bit, in any charset or none.
    lines = [re.sub(rb"[ \t]+", b" ", _bytes(chance)).rstrip(b" ") for _ in range(chance.randrange(8))]
    body = b"".join(b"%b\r\n" % line for line in lines)
    body = re.sub(rb"(\r\n)+\Z", b"\r\n", body) if body.strip(b"\r\n") else b""
    return b"".join(
        (sign(signers, fields, body, NOW_MS // 1000), *(b"%b: %b\r\n" % field for field in fields), b"\r\n", body)
    )


def _text(chance: Random) -> str:
    kinds = [chance.choice((_LINES, _WORDS)) for _ in range(chance.choice((0, 1, 3, 40)))]
    return "\n".join(chance.choice(kind) for kind in kinds) + "x" * chance.randrange(2) + chance.choice(_ENDS) + "."


def _folded(chance: Random) -> bytes:
    pieces = [b"a", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" ", b"b:", "é".encode(), b"\r\n  "]
    return b"x" + b"".join(b"%by" % chance.choice(pieces) for _ in range(chance.randrange(12)))


def _bytes(chance: Random) -> bytes:
    length = chance.choice((0, 1, 20, 990))
    return bytes(chance.choice(b" \t.=aZ\x80\xe9\xff") for _ in range(length))


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' if name else ""
