"""How many of ten million texts that nobody signed are taken for tokens: none may be, nor raise anything unforeseen.

    python -m loadtests.tokens                     ten million, on all processors
    python -m loadtests.tokens --texts 100000 --seed 7

A third are tokens of every kind with one change: a character replaced, dropped or doubled, two of them swapped, cut at
either end, joined to another token, re-encoded with other bytes, or signed by another installation. A third are bytes
that have the head of a token (kind, id of the key, job) and chance behind it. The rest are texts of chance, of the
alphabet of tokens and of any characters. A change that leaves a token as it was is no test, and is drawn again. The
last line is JSON; the exit code is 1 if a text was accepted, or raised anything but `InvalidToken`.
"""

import argparse
import base64
import multiprocessing
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from shared.words import ids
from shared.words.tokens import InvalidToken, TokenKeys

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#: Texts to a task: long enough that sharing them out costs nothing.
TASK = 20_000
#: More of one way to fail is no news.
MOST_TOLD = 5
_NO_LETTERS = re.compile(r"[^A-Za-z0-9_-]")
_OURS = TokenKeys(b"o" * 32, (b"p" * 32,))
_FOREIGN = TokenKeys(b"f" * 32)


class Outcome(NamedTuple):
    """Of one task: how many texts were read, which of them were accepted, and what was raised that should not be."""

    texts: int
    accepted: list[str]
    raised: list[str]
    refusals: Counter[str]


def valid(keys: TokenKeys) -> list[str]:
    """Tokens of every kind, of two jobs and tenants, short ones and long ones."""
    made = []
    for job, tenant in ((ids.job_text(bytes(range(12))), "demo"), (ids.job_text(bytes(12)), "chouette-" * 9)):
        of_job = keys.for_job(job, tenant)
        mark = of_job.mark("ana@example.fr")
        made += [of_job.open(3, mark), of_job.click(3, mark, 2, "https://exemple.fr/?a=" + "b" * 300)]
        made += [of_job.click(70_000, mark, 65_535, "http://a.b")]
        made += [of_job.document(3, mark, 2, "https://exemple.fr/devis.pdf", "Devis")]
        made += [keys.document_for("demo", "ana@example.fr", f"https://exemple.fr/{job}.pdf", "Devis").encode()]
        made += [of_job.addressed(kind, 3, "ana@example.fr") for kind in ("unsubscribe", "preferences", "opt_in")]
    return [token.decode("ascii") for token in made]


_VALID = valid(_OURS)
_KNOWN = frozenset(_VALID)
_ABROAD = valid(_FOREIGN)


def _raw(token: str) -> bytes:
    """The bytes of a token; of what is none any more, those that its letters make."""
    letters = _NO_LETTERS.sub("", token)
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _replaced(token: str, chance: random.Random) -> str:
    at = chance.randrange(len(token))
    return token[:at] + chance.choice(ALPHABET) + token[at + 1 :]


def _dropped(token: str, chance: random.Random) -> str:
    at = chance.randrange(len(token))
    return token[:at] + token[at + 1 :]


def _doubled(token: str, chance: random.Random) -> str:
    at = chance.randrange(len(token))
    return token[:at] + token[at] + token[at:]


def _swapped(token: str, chance: random.Random) -> str:
    at = chance.randrange(len(token) - 1)
    return token[:at] + token[at + 1] + token[at] + token[at + 2 :]


def _cut(token: str, chance: random.Random) -> str:
    return token[: chance.randrange(len(token))]


def _beheaded(token: str, chance: random.Random) -> str:
    return token[chance.randrange(1, len(token)) :]


def _joined(token: str, chance: random.Random) -> str:
    other = chance.choice(_VALID)
    return token[: chance.randrange(len(token))] + other[chance.randrange(len(other)) :]


def _bits(token: str, chance: random.Random) -> str:
    raw = bytearray(_raw(token) or b"\0")
    for _ in range(chance.randint(1, 3)):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return _text(bytes(raw))


def _foreign(_token: str, chance: random.Random) -> str:
    """Signed well, by somebody else, who also says that the key is ours."""
    raw = bytearray(_raw(chance.choice(_ABROAD)))
    raw[1:2] = _raw(_VALID[0])[1:2]
    return _text(bytes(raw))


def _decorated(token: str, chance: random.Random) -> str:
    return token + chance.choice(["=", "==", " ", "\n", "\0", "%00", "/", "+", "é", "\ud800"])


CHANGES: Sequence[Callable[[str, random.Random], str]] = (
    _replaced, _dropped, _doubled, _swapped, _cut, _beheaded, _joined, _bits, _foreign, _decorated,
)  # fmt: skip


def mutated(chance: random.Random) -> str:
    """A token of ours with one change, or several of them."""
    while True:
        text = chance.choice(_VALID)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            text = chance.choice(CHANGES)(text, chance) if len(text) > 20 else text
        if text not in _KNOWN:
            return text


def headed(chance: random.Random) -> str:
    """The head of a token of ours, and chance behind it."""
    return _text(_raw(chance.choice(_VALID))[:14] + chance.randbytes(chance.randrange(200)))


def random_text(chance: random.Random) -> str:
    if chance.random() < 0.8:
        return "".join(chance.choices(ALPHABET, k=chance.randrange(200)))
    return "".join(map(chr, (chance.randrange(0x110000) for _ in range(chance.randrange(60)))))


MAKERS = (mutated, headed, random_text)


def check(seed: int, texts: int) -> Outcome:
    """Reads so many texts, made of this seed."""
    chance = random.Random(seed)
    outcome = Outcome(texts, [], [], Counter())
    for number in range(texts):
        text = MAKERS[number % len(MAKERS)](chance)
        try:
            _OURS.read(text)
        except InvalidToken as refusal:
            outcome.refusals[str(refusal)] += 1
        except Exception as fault:
            outcome.raised.append(f"{fault!r} of {text!r}")
        else:
            outcome.accepted.append(text)
    return outcome


def _task(task: tuple[int, int]) -> Outcome:
    return check(*task)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.tokens", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    whole, rest = divmod(asked.texts, TASK)
    tasks = [(asked.seed * 1_000_003 + number, TASK) for number in range(whole)]
    if rest:
        tasks.append((asked.seed * 1_000_003 + whole, rest))
    began_s = time.monotonic()
    accepted: list[str] = []
    raised: list[str] = []
    refusals: Counter[str] = Counter()
    with multiprocessing.Pool(asked.processes) as pool:
        for outcome in pool.imap_unordered(_task, tasks):
            accepted += outcome.accepted
            raised += outcome.raised
            refusals.update(outcome.refusals)
    took_s = time.monotonic() - began_s
    for why, number in refusals.most_common():
        print(f"{number:>12,}  {why}")
    for text in accepted[:MOST_TOLD]:
        print(f"accepted: {text!r}")
    for fault in raised[:MOST_TOLD]:
        print(f"raised: {fault}")
    result = {
        "bench": "tokens", "texts": asked.texts, "accepted": len(accepted), "raised": len(raised),
        "texts_per_minute": round(asked.texts / took_s * 60),
    }  # fmt: skip
    print(msgspec.json.encode(result).decode())
    return 1 if accepted or raised else 0


if __name__ == "__main__":
    sys.exit(main())
