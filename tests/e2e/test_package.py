"""The wheel: everything in it, nothing else, and it works where there is no checkout."""

from __future__ import annotations

import configparser
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT

PACKAGES = ("grpckit", "position_service", "reconciler_service", "trueup_cli")
# The interpreter without its site: no .pth, so nothing of the editable installation can stand in for what is missing.
ISOLATED = [sys.executable, "-I", "-S"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--wheel-dir", target, ROOT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_isolated(unpacked: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code with the unpacked wheel and the dependencies on the path, and nothing else."""
    paths = [str(unpacked), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    begin = f"import sys; sys.path[:0] = {paths!r}\n"
    return subprocess.run(
        [*ISOLATED, "-c", begin + code, *arguments],
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(base))
        for base, names in ((ROOT, PACKAGES), (ROOT / "protos" / "gen", ("trueup", "buf")))
        for name in names
        for path in (base / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert "position_service/migrations/script.py.mako" in packed
    assert any(name.startswith("position_service/migrations/versions/") for name in packed)
    assert "trueup/reconciler/v1/reconciler_service_pb2_grpc.pyi" in packed


def test_command_and_licence(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        told = configparser.ConfigParser()
        told.read_string(archive.read(entry_points).decode())
        assert dict(told["console_scripts"]) == {"trueup": "trueup_cli.app:main"}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_every_module_can_be_imported_from_the_wheel(unpacked: Path):
    code = """
import importlib, pathlib
root = pathlib.Path.cwd()
count = 0
for file in sorted(root.rglob("*.py")):
    parts = file.relative_to(root).with_suffix("").parts
    if parts[-1] == "__main__" or "migrations" in parts:
        continue  # programs; alembic runs the others
    name = ".".join(part for part in parts if part != "__init__")
    module = importlib.import_module(name)
    assert module.__file__ == str(file), (module.__file__, file)
    count += 1
print(count)
"""
    done = run_isolated(unpacked, code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80


def test_what_it_needs_is_declared(unpacked: Path):
    """Whatever is imported comes with a dependency of the wheel, not by chance with a development tool."""
    code = """
import importlib.metadata, re, sys
import position_service.app, reconciler_service.app, reconciler_service.simulator.server, trueup_cli.up, trueup_cli.app
own = importlib.metadata.distribution("trueup")
def needed(name, seen):
    try:
        requires = importlib.metadata.distribution(name).requires or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    for line in requires:
        head, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", head)[0].lower().replace("_", "-")
        if "extra ==" in marker and not (name == "greenlet"):
            continue
        if name not in seen:
            seen.add(name)
            needed(name, seen)
    return seen
declared = needed("trueup", set())
by_module = importlib.metadata.packages_distributions()
used = {name.partition(".")[0] for name in sys.modules} - {"grpc_tools"}  # which grpc itself tries, and does without
for module in sorted(used & set(by_module)):
    owners = {name.lower().replace("_", "-") for name in by_module[module]} - {"trueup"}
    if owners and not owners & declared:
        print(module, owners)
"""
    done = run_isolated(unpacked, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_command_works_from_the_wheel(unpacked: Path):
    done = run_isolated(unpacked, "from trueup_cli.app import main; sys.argv[0] = 'trueup'; main()", "up", "--help")
    assert done.returncode == 0, done.stderr
    assert "HYPERLIQUID_KEY" in done.stdout


async def test_migrations_work_from_the_wheel(unpacked: Path, database: str):
    """A database is made ready by what is in the wheel alone."""
    code = """
import asyncio
from position_service import database
assert database.__file__.startswith(sys.path[0])
asyncio.run(database.prepare(sys.argv[1], allow_unsafe=False))
"""
    done = run_isolated(unpacked, code, database)
    assert done.returncode == 0, done.stderr
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM ledger_head") == 1
    finally:
        await connection.close()
