"""All routes as the process `http` mounts them; their Redis is nowhere, and nothing asks it."""

from pathlib import Path

from services.http.__main__ import mount, parts_of, routes_of
from services.settings import Settings
from shared.http import api
from shared.process.lifecycle import Lifecycle
from shared.process.master_secret import MasterSecret
from shared.process.settings import Data
from shared.redis import redis


def all_routes(directory: Path) -> list[api.Route]:
    """Of an instance whose data would be in the directory."""
    settings = Settings(data=Data(dir=str(directory)))
    parts = parts_of(settings, redis.connect("redis://127.0.0.1:1/0"), MasterSecret(b"k" * 32))
    return routes_of(mount(parts), Lifecycle("http", settings))
