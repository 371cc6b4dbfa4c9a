"""Who imports whom (docs of the layout: ARCHITECTURE.md), read from the syntax trees; nothing is imported here."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hub", "connectors", "sandbox")
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
    if "migrations" not in file.parts
}
PURE = (
    "domain",
    "policy",
    "decide",
    "usage",
    "signing",
    "catalog",
    "conditions",
    "references",
    "rollup",
    "lifecycle",
    "errors",
    "ports",
)
WORLD = {"flask", "redis", "rq", "requests", "stripe", "simple_salesforce", "sqlalchemy", "structlog", "os", "time"}
CONNECTORS = sorted(path.parent.name for path in (ROOT / "connectors").glob("*/__init__.py"))
VENDORS = re.compile("|".join(CONNECTORS), re.IGNORECASE)
SENTENCE = re.compile(r"\s\S+\s")  # three words or more: told to people
VENDOR_FREE = [name for name in FILES if name.startswith("hub") and name != "hub.wiring"]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imports(module: str, *, late: bool = True) -> set[str]:
    """Full names of what `module` imports; without `late` only what loading it needs, types left out."""
    found: set[str] = set()
    for node in ast.walk(tree(module)) if late else _at_load(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {
                f"{node.module}.{alias.name}" if _is_ours(node, alias) else str(node.module) for alias in node.names
            }
    return found


def _is_ours(node: ast.ImportFrom, alias: ast.alias) -> bool:
    return f"{node.module}.{alias.name}" in FILES


def _at_load(node: ast.AST) -> Iterator[ast.AST]:
    """Every node outside functions and `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _at_load(child)


def offenders(modules: list[str], forbidden: re.Pattern[str]) -> list[str]:
    return [f"{one} imports {name}" for one in modules for name in sorted(imports(one)) if forbidden.match(name)]


def of(*packages: str) -> list[str]:
    return [name for name in FILES if name.startswith(packages)]


def test_the_pure_core_knows_no_network_database_environment_or_clock() -> None:
    core = [f"hub.stream.{name}" for name in ("chain", "events", "facts", "state")]
    core += [f"hub.outbound.{name}" for name in ("clock", "filters", "rendering", "targets")]
    core += [name for name in FILES if name.split(".")[:1] == ["hub"] and name.split(".")[1:2] in [[p] for p in PURE]]
    wrong = [f"{one} imports {name}" for one in core for name in imports(one) if name.split(".")[0] in WORLD]
    calls = [f"{one} asks the clock" for one in core for node in ast.walk(tree(one)) if _asks_the_clock(node)]
    assert core
    assert wrong + calls == []


def _asks_the_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"datetime.now", "datetime.utcnow", "date.today"}


def test_the_values_import_nothing_of_ours() -> None:
    assert offenders(["hub.domain", "hub.errors"], re.compile(r"hub|connectors")) == []


def test_only_wiring_imports_connectors() -> None:
    hub = [name for name in of("hub") if name != "hub.wiring"]
    assert offenders(hub, re.compile(r"connectors")) == []


@pytest.mark.parametrize("vendor", CONNECTORS)
def test_a_connector_knows_the_hub_s_values_and_no_other_connector(vendor: str) -> None:
    mine = of(f"connectors.{vendor}")
    shared = r"http|wire|settings|jsonsafe|fields|proofs|selling|whose|declar\w+|emulation(_sending)?"
    others = rf"connectors\.(?!({vendor}|{shared})\b)\w"
    inside = r"hub\.(?!(domain|errors|ports|signing|settings)\b)\w"
    assert mine
    assert offenders(mine, re.compile(f"{others}|{inside}")) == []


def test_nothing_shipped_imports_an_emulator_but_the_sandbox() -> None:
    shipped = [name for name in of("hub", "connectors") if "emulat" not in name]
    assert offenders(shipped, re.compile(r".*emulat")) == []
    assert offenders(of("hub"), re.compile(r"sandbox|tests")) == []


@pytest.mark.parametrize("library", ["stripe", "simple_salesforce", "requests"])
def test_a_vendor_s_library_is_imported_in_one_folder(library: str) -> None:
    users = {name for name in FILES if any(one.split(".")[0] == library for one in imports(name))}
    folders = {".".join(name.split(".")[:2]) for name in users if not name.startswith("sandbox")}
    if library == "requests":
        assert folders <= {one for one in FILES if one.startswith("connectors.")}
    else:
        assert len(folders) <= 1


@pytest.mark.parametrize("package", ["rq", "redis"])
def test_rq_and_redis_are_spoken_to_in_bell_and_worker_alone(package: str) -> None:
    users = {name for name in FILES if any(one.split(".")[0] == package for one in imports(name))}
    assert users <= {"hub.bell", "hub.working", "hub.runtime", "sandbox.play"}


def test_flask_is_the_web_s_alone() -> None:
    users = {name for name in FILES if "flask" in {one.split(".")[0] for one in imports(name)}}
    assert all(name.startswith("hub.web.") for name in users - {"sandbox.consumer"})  # somebody else's program


def test_loading_goes_round_in_no_circle() -> None:
    graph = {one: {name for name in imports(one, late=False) if name in FILES and name != one} for one in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def names_in(module: str) -> Iterator[str]:
    """Every identifier and every text of `module` that is no sentence or docstring."""
    spoken = _spoken(tree(module))
    for node in ast.walk(tree(module)):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(text)) if id(node) not in spoken and not SENTENCE.search(text):
                yield text


def _spoken(node: ast.AST) -> set[int]:
    """Docstrings, and parts of longer formatted texts."""
    texts = {id(part) for one in ast.walk(node) if isinstance(one, ast.JoinedStr) for part in ast.walk(one)}
    return texts | {
        id(one.body[0].value)
        for one in ast.walk(node)
        if isinstance(one, ast.Module | ast.ClassDef | ast.FunctionDef)
        and one.body
        and isinstance(one.body[0], ast.Expr)
    }


COMMANDS = {
    "hub.cli_crm": {"salesforce", "Salesforce", "hubspot", "HubSpot"}
}  # a module that is a vendor's own command
EXAMPLES = {'kind = "zentitle"', 'kind = "stripe"', 'stripe = "price_…"', "Zentitle2"}  # what people are told to write


@pytest.mark.parametrize("module", VENDOR_FREE)
def test_the_hub_knows_no_vendor_by_name(module: str) -> None:
    found = {name for name in names_in(module) if VENDORS.search(name)} - EXAMPLES - COMMANDS.get(module, set())
    assert {name for name in found if not re.match(r"zentitle_id$|Zentitle2", name)} == set()


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name in FILES if not ast.get_docstring(tree(name)) and tree(name).body] == []


def test_nothing_is_printed_and_no_error_is_caught_unnamed() -> None:
    shipped = of("hub", "connectors")
    bad = [
        one for one in shipped for node in ast.walk(tree(one)) if isinstance(node, ast.ExceptHandler) and not node.type
    ]
    bad += [one for one in shipped for node in ast.walk(tree(one)) if isinstance(node, ast.Assert)]
    bad += [one for one in shipped for node in ast.walk(tree(one)) if isinstance(node, ast.Name) and node.id == "print"]
    assert bad == []


def test_functions_are_small() -> None:
    sizes = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for name in of("hub")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef)
    )
    assert sizes[len(sizes) // 2] <= 10
    assert sizes[len(sizes) * 9 // 10] <= 33


def test_S02_a_digest_is_compared_in_constant_time() -> None:
    """No == between what is called a signature, digest, token or password."""
    telling = re.compile(r"signature|digest|hmac|csrf|password")
    wrong = [
        f"{name}:{node.lineno}"
        for name in of("hub", "connectors")
        if "emulat" not in name
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        and all(telling.search(ast.unparse(side)) for side in (node.left, node.comparators[0]))
        and ".c." not in ast.unparse(node)  # a condition of SQL, on the digest of a secret
    ]
    assert wrong == []


def test_the_standard_library_s_unsafe_parts_are_not_used() -> None:
    assert "pickle" in sys.stdlib_module_names
    unsafe = re.compile(r"(pickle|marshal|shelve|yaml|xml\.etree|xml\.dom|xml\.sax)\b")
    assert offenders(list(FILES), unsafe) == []
