"""What is installed is what is in the tree."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
PACKAGES = CONFIG["importlinter"]["root_packages"].split()


def test_the_wheel_holds_every_file_of_every_package(build_context: Path, tmp_path: Path) -> None:
    """Modules, migrations, templates and vendored scripts: no file of our packages is missing from the wheel."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, build_context]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    in_tree = {str(path.relative_to(ROOT)) for path in package_files("*")}
    assert in_wheel == in_tree


def test_every_import_is_declared() -> None:
    """Whatever our packages import, at the top or inside a function, comes from a distribution that setup.cfg requires."""
    declared = {distribution(requirement) for requirement in CONFIG["options"]["install_requires"].split("\n")[1:]}
    provided_by = importlib.metadata.packages_distributions()
    known = {*sys.stdlib_module_names, *PACKAGES}
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in package_files("*.py")
        for module in imported_modules(path)
        if module not in known and declared.isdisjoint(map(distribution, provided_by.get(module, [])))
    }
    assert undeclared == set()


def package_files(pattern: str) -> Iterator[Path]:
    for package in PACKAGES:
        yield from (path for path in (ROOT / package).rglob(pattern) if path.is_file() and "__pycache__" not in path.parts)


def imported_modules(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | froms}


def distribution(requirement: str) -> str:
    """`prometheus_client>=0.22` → `prometheus-client`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement)[0]).lower()
