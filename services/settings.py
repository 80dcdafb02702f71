"""The settings of this installation: what is shared, and the section of each service in the catalogue."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import cast

import msgspec

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


def joined(
    own: Mapping[str, type[Section]], metrics_ports: Mapping[str, int] = MappingProxyType({})
) -> type[machinery.Settings]:
    """Settings in which each of these sections stands under its name, whole, with those ports as defaults."""
    shared = {field.name: field.type for field in msgspec.structs.fields(machinery.Settings)}
    kinds = {**{name: shared[name] for name in metrics_ports if name not in own}, **own}
    ports = {name: {"metrics_port": port} for name, port in metrics_ports.items()}
    made = msgspec.defstruct(
        "Settings",
        [(name, kind, kind(**ports.get(name, {}))) for name, kind in kinds.items()],
        bases=(machinery.Settings,),
        namespace={"OWN": tuple(own)},
        frozen=True,
        kw_only=True,
    )
    return cast(type[machinery.Settings], made)


Settings = joined(
    sections(), {service.name: service.metrics_port for service in catalogue.SERVICES if service.process is not None}
)


def read() -> machinery.Settings:
    """See `shared.process.settings`, as of the others."""
    return machinery.read(Settings)


def load(environ: Mapping[str, str], file: Path | None) -> machinery.Settings:
    return machinery.load(Settings, environ, file)


def explain(environ: Mapping[str, str], file: Path | None) -> list[InForce]:
    return machinery.explain(Settings, environ, file)
