"""Which folder may import which, and in which folders nothing touches the world."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Each tree's folders from the ground up: a folder imports only itself and what stands before it. What lies in the tree
#: beside them puts them together, and stands last.
ORDERS: dict[str, tuple[str, ...]] = {
    "shared": ("mail", "words", "tabular", "net", "process", "making", "redis", "archive", "http"),
    "services/relay": (
        "words",
        "limits",
        "signing",
        "checks",
        "traffic",
        "encryption",
        "delivery",
        "message",
        "making",
        "reporting",
    ),
}
#: Here everything is decided from arguments alone. Elsewhere a module is pure if its first lines say "Pure.".
PURE = ("shared/mail", "shared/words", "shared/tabular", "services/relay/words", "services/relay/message")
#: The world, the clock, chance.
WORLD = {
    "aiohttp", "asyncio", "os", "random", "redis", "secrets", "shutil", "signal", "socket", "subprocess", "tempfile",
    "threading", "time", "uuid",
}  # fmt: skip


def sources() -> list[Path]:
    return sorted(file.relative_to(ROOT) for top in ("services", "shared") for file in (ROOT / top).rglob("*.py"))


def trees() -> dict[Path, ast.Module]:
    return {source: ast.parse((ROOT / source).read_text("utf-8")) for source in sources()}


def imports(tree: ast.Module) -> Iterator[str]:
    """Whatever is imported anywhere in it, as `module` or `module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(name: str) -> Path | None:
    """The folder in which an imported module of ours lies, or None."""
    place = Path(*name.split("."))
    if place.parts[0] not in ("services", "shared"):
        return None
    while not (ROOT / place).is_dir():
        place = place.parent
    return place


def folders(tree: ast.Module) -> set[Path]:
    return {folder for name in imports(tree) if (folder := folder_of(name)) is not None}


def rank(folder: Path, top: str, order: tuple[str, ...]) -> int:
    """The place of a folder, or of one inside of it, in the order of its tree."""
    inside = folder.relative_to(top).parts
    return order.index(inside[0]) if inside else len(order)


def test_a_folder_imports_only_what_stands_before_it() -> None:
    offenders = []
    for top, order in ORDERS.items():
        for source, tree in trees().items():
            if not source.is_relative_to(top):
                continue
            own = rank(source.parent, top, order)
            wrong = sorted(str(one) for one in folders(tree) if one.is_relative_to(top) and rank(one, top, order) > own)
            offenders += [f"{source} imports {folder}" for folder in wrong]

    assert offenders == []


def test_every_folder_of_an_ordered_tree_has_its_place() -> None:
    for top, order in ORDERS.items():
        there = {file.parent.name for file in (ROOT / top).glob("*/__init__.py")}

        assert there == set(order), top


def test_folders_import_each_other_in_no_circle() -> None:
    graph: dict[Path, set[Path]] = {}
    for source, tree in trees().items():
        graph.setdefault(source.parent, set()).update(folders(tree) - {source.parent})

    try:
        TopologicalSorter(graph).prepare()
        circle = []
    except CycleError as error:
        circle = error.args[1]

    assert circle == []


def test_what_is_pure_touches_neither_the_world_nor_the_clock_nor_chance() -> None:
    offenders = []
    for source, tree in trees().items():
        says = "Pure." in (ast.get_docstring(tree) or "")
        if says or any(source.is_relative_to(folder) for folder in PURE):
            # `random.Random` is the type of chance that comes as an argument.
            touched = {name.split(".")[0] for name in imports(tree) if name != "random.Random"} & WORLD
            offenders += [f"{source} imports {package}" for package in sorted(touched)]

    assert offenders == []


def test_the_folders_that_are_named_are_there() -> None:
    assert [folder for folder in (*ORDERS, *PURE) if not (ROOT / folder / "__init__.py").is_file()] == []
