"""A real Prometheus that scrapes an instance, and promtool, which reads rules as it does."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.servers import free_port, need, stop


class Prometheus:
    """One that runs; `base` is its URL."""

    def __init__(self, base: str) -> None:
        self.base = base

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it gives now. ValueError: it is none that Prometheus understands."""
        return list(self._ask("query", query=expression)["result"])

    def targets_up(self) -> bool:
        """Whether every process was scraped at least twice: a rate needs two."""
        found = self.query("min(count_over_time(up[10m])) > 2 and min(up) == 1")
        return bool(found)

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.base}/-/ready") as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError):
            return False

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        try:
            with urlopen(f"{self.base}/api/v1/{what}?{urlencode(parameters)}") as answer:
                return dict(json.load(answer)["data"])
        except HTTPError as refused:
            raise ValueError(json.load(refused)["error"]) from None


@contextmanager
def scraping(directory: Path, targets: Mapping[str, str], rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Scrapes each `host:port` every second, as the job that it is named by, and evaluates the rules as often."""
    program, port = need("prometheus"), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "prometheus.json"  # YAML, too
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(rule.resolve()) for rule in rules],
                "scrape_configs": [
                    {"job_name": name, "static_configs": [{"targets": [target]}]} for name, target in targets.items()
                ],
            }
        )
    )
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        stop(process)


def places_of(directory: Path) -> dict[str, str]:
    """Where each process of the instance in that directory tells its metrics: {} until its supervisor has said so."""
    said = (directory / "run.log").read_text()
    if "Send a first mail" not in said:
        return {}
    return dict(re.findall(r"metrics of (\w+)\s+http://([^/]+)/metrics", said))


def promtool(*arguments: str) -> tuple[int, str]:
    """Its exit code, and all that it says."""
    done = subprocess.run([need("promtool"), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
