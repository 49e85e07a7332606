"""The house: who may import whom, how long a file and a function may be, where the environment is read."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("recur", "cluster", "jobs", "api")
MAY_IMPORT = {
    "recur": {"recur"},
    "cluster": {"recur", "cluster"},
    "jobs": {"recur", "cluster", "api", "jobs"},
    "api": {"recur", "cluster", "api"},
}
FOREIGN = {"recur": {"ray", "fastapi", "starlette", "uvicorn", "typer"}, "cluster": {"fastapi", "starlette", "typer"}}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60


def imported_names(path: Path, module: str) -> list[str]:
    """What a file takes from ``module`` by ``from module import ...``."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [alias.name for n in nodes if isinstance(n, ast.ImportFrom) and n.module == module for alias in n.names]


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way_only(package: str) -> None:
    for path in sources(package):
        ours = {name.split(".")[0] for name in imported(path)} & {*PACKAGES, "tests"}
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("package", sorted(FOREIGN))
def test_rooms_keep_foreign_libraries_out(package: str) -> None:
    for path in sources(package):
        found = {name.split(".")[0] for name in imported(path)} & FOREIGN[package]
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_only_the_recipe_border_imports_pydantic() -> None:
    users = {str(p.relative_to(ROOT)) for p in sources("recur") if any(n.startswith("pydantic") for n in imported(p))}
    assert users == {"recur/recipe.py"}


def test_recur_imports_with_ray_and_fastapi_absent() -> None:
    code = (
        "import sys; sys.modules['ray'] = None; sys.modules['fastapi'] = None\n"
        "import recur.train.run, recur.pipeline, recur.recipe, recur.evaluate.runner, recur.artifact.reference\n"
        "print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_files_and_functions_stay_short(package: str) -> None:
    for path in sources(package):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= MAX_FILE_LINES, f"{path.relative_to(ROOT)} has {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                assert size <= MAX_FUNCTION_LINES, f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {size} lines"


def test_entry_scripts_are_thin() -> None:
    for path in sources("jobs"):
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= (300 if path.name == "cli.py" else 80), f"{path.name} has {lines} lines"


def test_recur_never_reads_the_environment() -> None:
    for path in sources("recur"):
        read = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}
        assert not read & {"environ", "environb", "getenv"}, path.name
        assert not [name for name in imported_names(path, "os") if name.startswith(("environ", "getenv"))], path.name


def test_every_module_says_what_it_provides() -> None:
    for path in sources(*PACKAGES):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path.relative_to(ROOT)} has no docstring"
