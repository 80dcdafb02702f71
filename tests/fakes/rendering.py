"""Renders parts with logic in this process, by the code that the sandbox's process runs, but without its clocks."""

from collections.abc import Mapping
from typing import Any

from shared.mail import templates
from shared.making.render import RenderedMail, Renderer, RenderFailed
from shared.making.rendering import Asked
from shared.words import events, variables


def texts(asked: Asked) -> Mapping[templates.Name, str]:
    assert asked.job is not None
    compiled = templates.Templates(asked.job.sources, language=asked.job.language)
    found: dict[templates.Name, str] = {}
    for name in asked.job.sources:
        values = variables.of_recipient(asked.job.defaults, asked.own, asked.email, asked.name, asked.pages)
        found[name] = compiled.render(name, values)
    return found


class RenderingHere:
    """In place of `shared.making.rendering.Rendering`."""

    async def texts(self, asked: Asked, tenant: str = "") -> Mapping[templates.Name, str]:
        return texts(asked)


class RendererHere(Renderer):
    """Needs nobody's help; `refuses_empty`: as in life."""

    refuses_empty = False

    def _refuse_empty(self, subject: str, values: Mapping[str, Any], texts: Mapping[templates.Name, str]) -> None:
        if self.refuses_empty:
            super()._refuse_empty(subject, values, texts)

    def render(self, recipient: events.Ready, now_ms: int, **options: Any) -> RenderedMail:
        asked = self.asked(recipient)
        try:
            found = {} if asked is None else texts(asked)
        except (templates.TemplateFailed, variables.TooDeep) as failed:
            raise RenderFailed(str(failed)) from None
        return super().render(recipient, now_ms, texts=found, **options)
