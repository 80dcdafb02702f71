"""The settings of this installation: what is shared, and the section of each service in the catalogue."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from services import catalogue
from shared.process import settings as machinery
from shared.process.settings import InForce, Section


def sections() -> dict[str, type[Section]]:
    """What each service declares, by the name of its section."""
    return {
        service.name: getattr(import_module(f"{service.module}.settings"), service.settings)
        for service in catalogue.SERVICES
        if service.settings is not None
    }


Settings = machinery.joined(sections())


def read() -> machinery.Settings:
    """See `shared.process.settings`, as of the others."""
    return machinery.read(Settings)


def load(environ: Mapping[str, str], file: Path | None) -> machinery.Settings:
    return machinery.load(Settings, environ, file)


def explain(environ: Mapping[str, str], file: Path | None) -> list[InForce]:
    return machinery.explain(Settings, environ, file)
