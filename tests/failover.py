"""Redis as it fails over: a cluster of three masters with a replica each, and a master with two, under three Sentinels.

A master is killed (`kill_master`), one of its replicas takes its place by itself, and what was killed is started again
as a supervisor would (`start_again`): it comes back as a replica.
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis

from tests.servers import RedisServer, free_port, need, stop

#: Others take a master that is silent for so long for dead.
DOWN_MS = 2000
PATIENCE_S = 60.0
SLOTS = 16_384
#: What a replica has missed is made up for at once; it need not be copied whole.
_QUICK = ("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb")


class FailingCluster:
    """Three masters and a replica of each."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._nodes = [
            RedisServer(
                directory / f"node{number}", *_QUICK, "--cluster-replica-validity-factor", "0", *options,
                cluster=True, node_timeout_ms=DOWN_MS,
            )
            for number in range(6)
        ]  # fmt: skip

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)

    def __enter__(self) -> Self:
        """Returns when every node says that the cluster is whole, and each master has its replica."""
        for number, node in enumerate(self._nodes):
            node.start()
            with node.client() as client:
                if number < 3:
                    slots = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
                    client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", self._nodes[0].port)
        for master, replica in zip(self._nodes[:3], self._nodes[3:], strict=True):
            with master.client() as client:
                name = _text(client.execute_command("CLUSTER MYID"))
            until(lambda replica=replica, name=name: _replicates(replica, name))  # type: ignore[misc]
        until(self.is_whole)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes:
            node.stop()

    def kill_master(self, key: str) -> RedisServer:
        """kill -9 of the one that has the key."""
        master = next(node for node in self._nodes if _has(node, key))
        master.kill()
        return master

    def start_again(self, killed: RedisServer) -> None:
        """It finds out by itself that it is a replica now."""
        killed.start()

    def has_master(self, key: str) -> bool:
        """Somebody answers for the key."""
        return any(_has(node, key) for node in self._nodes)

    def is_whole(self) -> bool:
        """All six are there, and three of them follow the others."""
        return sorted(map(_role, self._nodes)) == ["master"] * 3 + ["slave"] * 3 and all(map(_is_ok, self._nodes))


class FailingMaster:
    """A master with two replicas, and three Sentinels."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._nodes = [RedisServer(directory / f"node{number}", *_QUICK, *options) for number in range(3)]
        self._directory = directory
        self._sentinels: list[tuple[int, subprocess.Popen[bytes]]] = []

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port, _ in self._sentinels)}/main/0"

    def __enter__(self) -> Self:
        master = self._nodes[0]
        master.start()
        for replica in self._nodes[1:]:
            replica.start()
            with replica.client() as client:
                client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: _replicas(master) == 2)
        for number in range(3):
            self._sentinels.append(self._sentinel(self._directory / f"sentinel{number}", master))
        until(lambda: all(map(self._knows_all, (port for port, _ in self._sentinels))))
        return self

    def __exit__(self, *_: object) -> None:
        for _port, sentinel in self._sentinels:
            stop(sentinel)
        for node in self._nodes:
            node.stop()

    def kill_master(self, key: str) -> RedisServer:
        """kill -9 of the one that there is, whatever the key."""
        master = next(node for node in self._nodes if _role(node) == "master")
        master.kill()
        return master

    def start_again(self, killed: RedisServer) -> None:
        """As a start script does that asks the Sentinels: they would see to it by themselves, half a minute later."""
        port = self._asked(self._sentinels[0][0])["port"]
        killed.start()
        with killed.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", port)

    def has_master(self, key: str) -> bool:
        """There is one that a Sentinel names, whatever the key."""
        port = self._asked(self._sentinels[0][0])["port"]
        return any(node.port == port and _role(node) == "master" for node in self._nodes)

    def is_whole(self) -> bool:
        """All three are there, two follow the third, and the Sentinels know it."""
        masters = [node for node in self._nodes if _role(node) == "master"]
        return len(masters) == 1 and _replicas(masters[0]) == 2 and all(self._knows(p) for p, _ in self._sentinels)

    def _sentinel(self, directory: Path, master: RedisServer) -> tuple[int, subprocess.Popen[bytes]]:
        port = free_port()
        directory.mkdir()
        lines = [
            f"port {port}", "bind 127.0.0.1", f"dir {directory}",
            f"sentinel monitor main 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds main {DOWN_MS}", "sentinel failover-timeout main 6000",
        ]  # fmt: skip
        (directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [need("redis-server"), str(directory / "sentinel.conf"), "--sentinel"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return port, process

    def _asked(self, port: int) -> dict[str, Any]:
        with redis.Redis(port=port) as client:
            said: Any = client.sentinel_master("main")
            return dict(said)

    def _knows_all(self, port: int) -> bool:
        said = self._asked(port)
        return (said["num-slaves"], said["num-other-sentinels"]) == (2, 2)

    def _knows(self, port: int) -> bool:
        said = self._asked(port)
        master = next(node for node in self._nodes if _role(node) == "master")
        return int(said["port"]) == master.port and not said["is_odown"]


def until(is_so: Callable[[], Any]) -> None:
    """Asks until it is; what does not answer is not yet so."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(redis.RedisError, KeyError, LookupError, StopIteration):
            if is_so():
                return
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.05)


def _replicates(node: RedisServer, master: str) -> bool:
    with node.client() as client:
        client.execute_command("CLUSTER", "REPLICATE", master)
    return True


def _info(node: RedisServer, section: str) -> dict[str, Any]:
    with node.client() as client:
        found: Any = client.info(section)
        return dict(found)


def _role(node: RedisServer) -> str:
    """ "" of one that is not there."""
    try:
        return str(_info(node, "replication")["role"])
    except redis.RedisError:
        return ""


def _has(node: RedisServer, key: str) -> bool:
    """A replica says where to go instead."""
    with node.client() as client:
        try:
            client.get(key)
        except redis.RedisError:
            return False
    return True


def _replicas(node: RedisServer) -> int:
    """Those that have all that it has."""
    said = _info(node, "replication")
    found = [said[f"slave{number}"] for number in range(int(said["connected_slaves"]))]
    return sum(one["state"] == "online" for one in found)


def _is_ok(node: RedisServer) -> bool:
    with node.client() as client:
        said: Any = client.execute_command("CLUSTER INFO")
    info = said if isinstance(said, dict) else dict(line.split(":") for line in said.decode().split())
    has_master = _info(node, "replication").get("master_link_status", "up") == "up"
    return bool(info["cluster_state"] == "ok" and has_master)


def _text(said: Any) -> str:
    return said.decode() if isinstance(said, bytes) else str(said)
