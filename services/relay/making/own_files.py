"""The files that only one recipient gets: read from where their job keeps them, for each attempt anew."""

from shared.mail.attached import File
from shared.redis import keys
from shared.redis.redis import Client
from shared.words import events, ids, own_files


class LostFile(Exception):
    """One of them is not there, or not what it was: the mail is not sent without it. The message says which."""


class OwnFiles:
    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def of(self, ready: events.Ready) -> list[File]:
        """Those of a message, in their order. LostFile, RedisAway."""
        try:
            wanted = own_files.unpacked(ready.files)
        except ValueError as fault:
            raise LostFile(f"which files the recipient gets cannot be read: {fault}") from None
        key = keys.job_files(ids.job_partition(ready.job, self._partitions), ready.job)
        found = await self._client.hmget(key, [one.digest for one in wanted])
        files = []
        for one, content in zip(wanted, found, strict=True):
            if content is None or len(content) != one.size_bytes:
                raise LostFile(
                    f"{one.filename} of this recipient is not kept any more: the mail is not sent without it"
                )
            files.append(File(one.filename, one.content_type, content))
        return files


def added_bytes(ready: events.Ready) -> int:
    """About how much larger they make the mail of a message."""
    try:
        return own_files.mail_bytes(own_files.unpacked(ready.files))
    except ValueError:
        return 0
