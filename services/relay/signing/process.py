"""A process that signs for a relay, beside it: the signatures of a mail take longer than all else that it costs.

    relay ── Asked ──→ stdin    stdout ── Answered ──→ relay

Each way frames (`shared.process.frames`) of msgpack. Private keys come over the same pipe, before the first
mail that they sign, and are nowhere else: in no file, argument or environment. The process ends when its stdin does,
because then its relay is gone; Ctrl-C and a stop of the whole service reach the relay too, which still has mails to
sign.

Started by `signatures`, as `python -m services.relay.signing.process`.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator

import msgspec

from shared.mail import dkim_keys
from shared.process.frames import Frames, framed

#: Read at a time: some hundreds of mails.
READ_BYTES = 65_536
#: A question has some mails and the keys that they need, an answer a few signatures: what is longer is none of ours.
MOST_BYTES = 16 * 1024 * 1024
#: So many mails are answered together: an answer wakes the relay, and 5 ms is what the first of them waits for it.
ANSWERED_TOGETHER = 8

Keys = dict[int, Callable[[bytes], bytes]]


class Asked(msgspec.Struct, array_like=True):
    """`keys`: numbers and private keys (PEM) that are new. `forgotten`: numbers of keys that are needed no more.
    `mails`: each has a number, and pairs of a key's number and the digest that it signs."""

    keys: list[tuple[int, str]]
    forgotten: list[int]
    mails: list[tuple[int, list[tuple[int, bytes]]]]


class Answered(msgspec.Struct, array_like=True):
    """`mails`: each has its number, and its signatures in the order in which they were asked for."""

    mails: list[tuple[int, list[bytes]]]


def packed(message: Asked | Answered) -> bytes:
    """As a frame."""
    return framed(msgspec.msgpack.encode(message))


def signed(asked: Asked, keys: Keys) -> Iterator[Answered]:
    """What is asked for, a few mails at a time. `keys` is what is known, and is kept up to date."""
    for number, pem in asked.keys:
        keys[number] = dkim_keys.signer(pem)
    for at in range(0, len(asked.mails), ANSWERED_TOGETHER):
        some = asked.mails[at : at + ANSWERED_TOGETHER]
        yield Answered([(mail, [keys[key](digest) for key, digest in wanted]) for mail, wanted in some])
    for number in asked.forgotten:
        del keys[number]


def main() -> None:
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_IGN)
    decode = msgspec.msgpack.Decoder(Asked).decode
    frames, keys = Frames(MOST_BYTES), Keys()
    try:
        while piece := os.read(sys.stdin.fileno(), READ_BYTES):
            for frame in frames.feed(piece):
                for answered in signed(decode(frame), keys):
                    sys.stdout.buffer.write(packed(answered))
                    sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Nobody reads any more. The interpreter would try once more on its way out, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
