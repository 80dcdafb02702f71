"""Tries faults, one set after the other, and says of each what was seen, what mended it, and what was lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from loadtests.drill import stage as stages
from loadtests.drill.faults import Fault
from loadtests.drill.runbooks import commands, filled
from loadtests.drill.scene import Account, Scene
from loadtests.drill.stage import RUNBOOKS, Stage
from loadtests.drill.world import World

#: What is promised: alert and panel name the cause within a minute.
SEEN_S = 60.0
#: After the last command: until the alert is silent and all mail has its end.
MENDED_S = 120.0
#: Until nothing is left of the fault before.
QUIET_S = 60.0
#: Between two looks at alert and panel.
EVERY_S = 0.5
#: Of what went wrong in an unforeseen way: it may quote all logs.
TOLD_CHARS = 4_000

STAGES: dict[str, Callable[[Path, World, float], AbstractAsyncContextManager[Stage]]] = {
    "own": stages.own,
    "sentinel": stages.sentinel,
}


class Stuck(Exception):
    """The drill cannot go on with this fault: in words."""


@dataclass
class Result:
    """Of one fault. Seconds from the fault to the alert that fires and to the panel that shows it, and from the first
    command to an alert that is silent with all mail accounted; None: it did not happen. `wrong` says in words what did
    not hold."""

    fault: Fault
    alert_s: float | None = None
    panel_s: float | None = None
    mended_s: float | None = None
    account: Account = field(default_factory=Account)
    wrong: list[str] = field(default_factory=list)
    #: Whether this machine lets us try it.
    tried: bool = True

    @property
    def held(self) -> bool:
        return self.tried and not self.wrong


async def drill(
    faults: Sequence[Fault], folder: Path, factor: float, tell: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """All of them, each kind of instance once; `tell` is called as soon as a fault is over."""
    results: list[Result] = []
    for kind in STAGES:
        some = [fault for fault in faults if fault.stage == kind]
        if not some:
            continue
        place = folder / kind
        place.mkdir()
        async with World() as world, STAGES[kind](place, world, factor) as stage:
            async for one in _tried(some, stage):
                tell(one)
                results.append(one)
    return results


async def _tried(faults: Sequence[Fault], stage: Stage) -> AsyncIterator[Result]:
    for together in in_sets(faults):
        for done in asyncio.as_completed([attempt(fault, stage) for fault in together]):
            yield await done


def in_sets(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Those that are put in together, and each of the others by itself, in the order of the table."""
    found = []
    for together, grouped in groupby(faults, lambda fault: fault.together):
        some = list(grouped)
        found += [some] if together else [[fault] for fault in some]
    return found


async def attempt(fault: Fault, stage: Stage) -> Result:
    """One fault, from the quiet before to the account after."""
    result = Result(fault)
    if fault.needs_disk and not stage.root.is_mount():
        result.tried = False
        return result
    scene = Scene(fault.name, stage)
    try:
        await _until(lambda: _nothing_of(fault, stage), QUIET_S, "its alert or panel showed something before the fault")
        await fault.begin(scene)
        began = time.monotonic()
        await _see(result, stage, began)
        began = time.monotonic()
        await mend(fault, scene)
        await _until(lambda: _is_silent(fault, stage), MENDED_S, "the alert went on after it was mended")
        async with asyncio.timeout(MENDED_S):
            result.account = await scene.account(fault.ends)
            if fault.returns is not None:
                await fault.returns(scene)
        result.mended_s = time.monotonic() - began
        result.wrong += faults_of(fault, result.account)
    except TimeoutError:
        result.wrong.append("mail without an end, or a fact that is not there")
    except Stuck as error:
        result.wrong.append(str(error))
    except Exception as error:  # whatever it is: the other faults are tried all the same
        result.wrong.append(f"{type(error).__name__}: {error}"[:TOLD_CHARS])
    return result


def faults_of(fault: Fault, account: Account) -> list[str]:
    """What is wrong with an account, in words."""
    found = []
    if not account.accepted:
        found.append("no mail met the fault")
    if account.lost:
        found.append(f"{account.lost} of {account.accepted} recipients are lost")
    if account.twice > fault.twice:
        found.append(f"{account.twice} mails came twice, where {fault.twice} may")
    return found


async def _see(result: Result, stage: Stage, began: float) -> None:
    """Until both alert and panel name it, or a minute is over."""
    fault = result.fault
    while time.monotonic() - began < SEEN_S and (result.alert_s is None or result.panel_s is None):
        if result.alert_s is None and await stage.fires(fault.alert):
            result.alert_s = time.monotonic() - began
        if result.panel_s is None and await stage.shows(fault.panel):
            result.panel_s = time.monotonic() - began
        await asyncio.sleep(EVERY_S)
    if result.alert_s is None:
        others = ", ".join(await stage.firing()) or "none"
        result.wrong.append(f"{fault.alert} did not fire within {SEEN_S:.0f} s (what did: {others})")
    if result.panel_s is None:
        shown = ", ".join(await stage.shown(fault.panel)) or "nothing"
        result.wrong.append(f"the panel {fault.panel} did not show it within {SEEN_S:.0f} s (what it did: {shown})")


async def mend(fault: Fault, scene: Scene) -> None:
    """Step by step. Stuck: a command is not one of the runbook, or failed."""
    known = commands(RUNBOOKS[fault.alert.name])
    for step in fault.mends:
        if not isinstance(step, str):
            await step(scene)
            continue
        if step not in known:
            raise Stuck(f"not a command of its runbook: {step}")
        code, said = await scene.stage.shell(filled(step, scene.facts))
        if code:
            raise Stuck(f"exit code {code} of {filled(step, scene.facts)}: {said}")


async def _nothing_of(fault: Fault, stage: Stage) -> bool:
    return await _is_silent(fault, stage) and not await stage.shows(fault.panel)


async def _is_silent(fault: Fault, stage: Stage) -> bool:
    return not await stage.fires(fault.alert)


async def _until(call: Callable[[], Awaitable[bool]], patience_s: float, words: str) -> None:
    """Stuck, in these words."""
    deadline = time.monotonic() + patience_s
    while not await call():
        if time.monotonic() > deadline:
            raise Stuck(f"{words}, for {patience_s:.0f} s")
        await asyncio.sleep(EVERY_S)
