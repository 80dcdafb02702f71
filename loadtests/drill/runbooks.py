"""The commands of a runbook, as an engineer on call copies them: the lines of its `sh` blocks, by section. Pure."""

import re
from collections.abc import Mapping, Sequence

_SECTION = re.compile(r"^## (.*)$", re.M)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
#: What whoever copies a line puts in: SITE, JOB, CLIENT_ID.
_PLACE = re.compile(r"\b[A-Z][A-Z_]+\b")


def commands(runbook: str, section: str = "Mend") -> Sequence[str]:
    """All lines of that section's blocks. LookupError: there is no such section."""
    _, *parts = _SECTION.split(runbook)
    texts = dict(zip(parts[::2], parts[1::2], strict=True))
    if section not in texts:
        raise LookupError(f"no section {section!r}")
    return [line for block in _BLOCK.findall(texts[section]) for line in block.splitlines() if line.strip()]


def filled(command: str, facts: Mapping[str, str]) -> str:
    """The line with what is known in the places of words in capitals; other such words are the command's own."""
    return _PLACE.sub(lambda found: facts.get(found[0], found[0]), command)
