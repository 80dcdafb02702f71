"""SIGHUP: settings and the files that they name are read again, and what may change while a process runs is changed.

All of it or nothing (`reload`). What is wrong is one line, `reload_refused`, with every fault, and the metric
`estafette_reload_failed` is 1 until a later SIGHUP finds nothing wrong. A success is the line `reloaded`, with what
changed; settings that hold from the next start on are named in `needs_restart`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from shared.process import coherence, logs, reload
from shared.process.reload import Part, Prepared
from shared.process.settings import Settings, SettingsError

RELOADS = Counter(
    "estafette_reloads_total",
    "How often settings were read again at SIGHUP: taken (done), found wrong (refused), or not taken by a fault of "
    "ours (failed)",
    ["outcome"],
)
FAILED = Gauge(
    "estafette_reload_failed", "1: what was read again at the last SIGHUP was not taken; what held before holds"
)
_reloads = {outcome: RELOADS.labels(outcome) for outcome in ("done", "refused", "failed")}


class Reloading:
    """Of the process `name`, which began with `settings`. `read` gives them as they are now, or SettingsError."""

    def __init__(self, name: str, settings: Settings, read: Callable[[], Settings]) -> None:
        self._name = name
        self._settings = settings
        self._read = read
        self._parts: list[Part] = []
        self._asked = asyncio.Event()
        self._log = structlog.get_logger()

    def also(self, part: Part) -> None:
        self._parts.append(part)

    def ask(self) -> None:
        """To be done soon; once, however often it was asked for until then."""
        self._asked.set()

    async def run(self) -> None:
        """For as long as the process takes work."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._reload()
            except SettingsError as error:
                self._not_taken("refused")
                self._log.error("reload_refused", faults=reload.told(error.faults))
            except Exception:  # ours: what held before holds, as far as it was not replaced yet
                self._not_taken("failed")
                self._log.exception("reload_failed")

    async def _reload(self) -> None:
        # Reading takes a tenth of a second of processor: what is under way does not wait for it.
        settings, prepared = await asyncio.to_thread(self._prepared)
        taken = {reload.LEVEL, *(name for part in self._parts for name in part.settings)}
        plan = reload.plan(self._settings, settings, taken)
        for one in prepared:
            await one.apply()
        self._settings = plan.settings
        FAILED.set(0)
        _reloads["done"].inc()
        changes = [*plan.changes, *(change for one in prepared for change in one.changes)]
        logs.set_level("info")  # whoever asked for it looks for this line, whatever the level is from now on
        self._log.info("reloaded", changes=reload.told(changes))
        if plan.needs_restart:
            self._log.warning("needs_restart", settings=reload.told(plan.needs_restart))
        logs.set_level(plan.settings.logs.level)

    def _prepared(self) -> tuple[Settings, list[Prepared]]:
        """Everything read and found right; nothing is changed yet. SettingsError with the faults of all parts."""
        settings = self._read()
        coherence.refuse(settings, self._name)
        prepared: list[Prepared] = []
        faults: list[str] = []
        for part in self._parts:
            try:
                prepared.append(part.prepare(settings))
            except SettingsError as error:
                faults += error.faults
        if faults:
            raise SettingsError(faults)
        return settings, prepared

    def _not_taken(self, outcome: str) -> None:
        FAILED.set(1)
        _reloads[outcome].inc()


def again(read: Callable[[], Settings], file: Path | None) -> Callable[[], Settings]:
    """Reads as at the start, when settings were in this file (None: there was none). SettingsError if it is gone: no
    file is no fault at a start, and now would mean that all is as it comes."""

    def read_again() -> Settings:
        if file is not None and not file.is_file():
            raise SettingsError([f"{file}: there is no such file any more"])
        return read()

    return read_again
