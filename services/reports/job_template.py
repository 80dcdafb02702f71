"""Which stored template a job was made of, as its report tells it. Pure."""

from typing import Annotated

import msgspec

from shared.words.described import says


class JobTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """The stored template that a job was made of, and the layout in which it stood, as they were then."""

    name: Annotated[str, says("The name of the template.", "welcome")]
    version: Annotated[int, says("Which version of it.", 3)]
    layout: Annotated[str | None, says("The template that it stood in.", "frame")] = None
    layout_version: Annotated[int | None, says("Which version of that one.", 7)] = None

    @classmethod
    def read(cls, text: str) -> "JobTemplate | None":
        """As the job keeps it (`shared.redis.jobs`)."""
        match text.split(" "):
            case [name, version]:
                return cls(name=name, version=int(version))
            case [name, version, layout, layout_version]:
                return cls(name=name, version=int(version), layout=layout, layout_version=int(layout_version))
        return None
