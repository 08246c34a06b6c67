"""Imports go one way, every module says what it is, every "no" has words, every public route a limit."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from engine.adapters.http import ANSWERS
from engine.core.outcomes import Code

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "web", "admin", "ledger", "migrations")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# room → rooms of ours it may import. A room is the longest prefix listed here.
MAY_IMPORT = {
    "web": {"web", "engine", "ledger.money"},
    "admin": {"admin", "engine", "ledger.money"},
    "engine.core": {"engine.core", "ledger.money"},
    "engine.runtime": {"engine.runtime", "engine.core"},
    "engine.adapters": {"engine.adapters", "engine.core", "ledger"},
    "engine.actions": {
        "engine.actions", "engine.runtime", "engine.adapters", "engine.core", "engine.config", "engine.queries", "ledger",
    },
    "engine.queries": {"engine.runtime", "engine.adapters", "engine.core", "engine.actions.context", "ledger"},
    "engine.embedded.stripe": {"engine.embedded.stripe"},
    "engine.embedded.mailbox": {"engine.embedded.mailbox"},
    "engine.embedded": {"engine.embedded", "engine.config", "migrations"},
    "engine.config": set(),
    "engine.bootstrap": {"engine", "ledger", "migrations"},
    # The command line puts the faces together; nothing else in the engine knows them.
    "engine.running": {"engine", "web", "admin"},
    "engine.__main__": {"engine", "migrations"},
    "engine": set(),
    "ledger": {"ledger"},
    "migrations": set(),
}  # fmt: skip


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    return max((room for room in MAY_IMPORT if module == room or module.startswith(room + ".")), key=len)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_one_way(path: Path) -> None:
    allowed = MAY_IMPORT[_room(_name(path))]
    wrong = {
        name
        for name in _imports(path)
        if not any(name == room or name.startswith(room + ".") for room in allowed)
    }
    assert not wrong, f"{_name(path)} may not import {sorted(wrong)}"


def test_the_import_rule_can_fail() -> None:
    """Negative control: a core module that reached for an adapter would be found."""
    allowed = MAY_IMPORT["engine.core"]
    assert not any("engine.adapters.stripe".startswith(room + ".") for room in allowed)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_says_first_what_it_does(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_only_the_core_is_pure_and_it_is() -> None:
    forbidden = {"trio", "asyncio", "time", "random", "secrets", "socket", "os", "asyncpg", "redis", "stripe"}
    for path in (ROOT / "engine" / "core").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert not forbidden & {name.split(".")[0] for name in names}, path.name
            assert not isinstance(node, ast.Await), path.name


def test_drivers_are_imported_by_adapters_alone() -> None:
    drivers = {"asyncpg", "redis", "stripe", "httptools", "smtplib"}
    allowed = ("engine/adapters/", "engine/embedded/", "engine/bootstrap.py", "web/lane.py", "migrations/")
    for path in MODULES:
        relative = str(path.relative_to(ROOT))
        if relative.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            assert not drivers & {name.split(".")[0] for name in names}, relative


def test_every_outcome_has_a_status_and_words() -> None:
    assert set(ANSWERS) == set(Code)
    for status, code, words in ANSWERS.values():
        assert 200 <= status < 600 and re.fullmatch("[a-z_]+", code) and words.endswith(".")


def test_functions_stay_short_and_files_in_bounds() -> None:
    long = []
    for path in MODULES:
        lines = path.read_text().splitlines()
        # The local Stripe's HTTP and the shard are single subjects; everything else stays under the house's size.
        assert len(lines) <= 420, f"{path}: {len(lines)} lines"
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                nested = any(
                    isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                    for one in ast.walk(node)
                    if one is not node
                )
                if node.end_lineno - node.lineno > 90 and not nested:
                    long.append(f"{_name(path)}.{node.name}")
    assert not long


ROUTE = re.compile(r"@blueprint\.(get|post|patch|delete)\(\"([^\"]+)\"\)")


def test_every_admin_route_asks_for_a_permission() -> None:
    for path in (ROOT / "admin").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef) and any(
                isinstance(one, ast.Call) and "blueprint" in ast.unparse(one.func)
                for one in node.decorator_list
            ):
                first = ast.unparse(node.body[0])
                assert "require(context, Permission." in first, (
                    f"{path.name}: {node.name} asks for no permission first"
                )


def test_no_route_of_the_buyers_app_serves_admin() -> None:
    for path in (ROOT / "web").glob("*.py"):
        assert "Bearer" not in path.read_text()


def test_settings_are_read_in_one_place_and_all_documented() -> None:
    from engine.config import Settings

    example = (ROOT / ".env.example").read_text()
    for name in Settings.__struct_fields__:
        assert f"FM_{name.upper()}" in example, name
    for path in MODULES:
        if "embedded" in path.parts or path.name in ("__main__.py", "running.py"):
            continue
        assert "os.environ" not in path.read_text(), path
