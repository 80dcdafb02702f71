"""The chart in helm/estafette as Helm renders it: with the real library, offline, for the values of its folder `ci`."""

import copy
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "estafette"
#: The sets of values, each an installation as somebody has it.
SETS = sorted(file.name.removesuffix("-values.yaml") for file in (CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "demo", "mail"

Manifest = dict[str, Any]


def values_of(name: str, **changes: Any) -> dict[str, Any]:
    """A set of values; changes are laid over it, section by section."""
    found: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text("utf-8"))
    return laid_over(found, changes)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        is_deeper = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = laid_over(merged[key], value) if is_deeper else value
    return merged


def rendered(values: Mapping[str, Any], chart: Path = CHART) -> list[Manifest]:
    """All that would be applied. HelmError if it cannot be."""
    return [manifest for text in texts(values, chart).values() for manifest in yaml.safe_load_all(text) if manifest]


def texts(values: Mapping[str, Any], chart: Path = CHART) -> dict[str, str]:
    """By template, without the notes."""
    with helm_python.Chart.load(chart) as loaded:
        found = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return {path: text for path, text in found.items() if not path.endswith(".txt")}


def with_files(folder: Path, files: Mapping[str, str]) -> Path:
    """A copy of the chart with these files in it."""
    chart = folder / "estafette"
    shutil.copytree(CHART, chart)
    for name, text in files.items():
        (chart / name).parent.mkdir(exist_ok=True)
        (chart / name).write_text(text, "utf-8")
    return chart


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What runs processes of ours, by their component."""
    found = of_kind(manifests, "Deployment", "StatefulSet")
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, workload in workloads(manifests).items():
        yield name, workload["spec"]["template"]["spec"]


def container(pod: Manifest) -> Manifest:
    (only,) = pod["containers"]
    return dict(only)


def environment(manifests: list[Manifest], pod: Manifest, secrets: Mapping[str, str]) -> dict[str, str]:
    """What its process sees: the ConfigMaps, then its own, with what a variable names of those before it. `secrets` are
    by name and key, as `redis/password`."""
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(manifests, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container(pod)["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]
    for variable in container(pod)["env"]:
        if "valueFrom" in variable:
            ref = variable["valueFrom"]["secretKeyRef"]
            value = secrets[f"{ref['name']}/{ref['key']}"]
        else:
            value = re.sub(r"\$\((\w+)\)", lambda named: found[named[1]], variable["value"])
        found[variable["name"]] = value
    return found
