"""What the repository promises about itself: settings, locks, migrations, deploying, no traces."""

import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from sqlalchemy import inspect, text

from server.db import metadata, sync_engine
from server.migrate import migrate
from server.running import END
from server.settings import Settings
from tests.running import ROOT

# Every module that has tables, so that the metadata is whole.
for module in ("server.catalog.tables", "server.blobs.sqlite"):
    importlib.import_module(module)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FLY = tomllib.loads((ROOT / "fly.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Folders in which anybody may have a clone, and which texts may speak of.
COMMON = {
    "/",
    "/app",
    "/data",
    "/home",
    "/mnt",
    "/opt",
    "/root",
    "/src",
    "/srv",
    "/tmp",
    "/var/tmp",
}


def variable(name: str, field: FieldInfo) -> str:
    """What a setting is called in the environment."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = str(alias.choices[0])
    return alias if isinstance(alias, str) else f"REELBASE_{name.upper()}"


def shown(default: object) -> str:
    """How the table writes a default."""
    if default is None:
        return "unset"
    return f"`{default}`" if str(default) else "empty"


def test_every_setting_is_in_the_table_with_its_default_and_nothing_else_is() -> None:
    """docs/settings.md is the one table of all settings."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \|$", _read("docs/settings.md"), re.MULTILINE)
    expected = {variable(n, f): shown(f.default) for n, f in Settings.model_fields.items()}
    assert len(rows) == len(dict(rows)), "a setting has two rows"
    assert dict(rows) == expected


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    """The locks name versions only, so that they install from wherever one's pip is set up to."""
    hosts = [".".join(parts) for parts in (("files", "pythonhosted"), ("pypi", "org"))]
    wanted = [re.escape(host) for host in (*hosts, ".".join(("registry", "npmjs")))]
    parent = str(ROOT.parent)
    place = str(ROOT) if parent in COMMON else parent
    # At the start of a path only: "docs/work/" is no machine's.
    wanted.append(r"(?<![\w.})/-])" + re.escape(place) + r"(?![\w.-])")
    pattern = re.compile("|".join(wanted))
    found = []
    for path in _files():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_the_locks_pin_every_dependency() -> None:
    """Each to one version that pyproject.toml allows, the same in both locks."""
    runtime, dev = _lock("requirements.lock"), _lock("requirements-dev.lock")
    groups = PROJECT["dependency-groups"]
    for lock, wanted in (
        (runtime, PROJECT["project"]["dependencies"]),
        (dev, [*PROJECT["project"]["dependencies"], *groups["dev"], *groups["bench"]]),
    ):
        for requirement in map(Requirement, wanted):
            version = lock.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not locked: run `make lock`"
            assert requirement.specifier.contains(version, prereleases=True), requirement
    assert {name: dev.get(name) for name in runtime} == runtime


def test_migrations_have_one_head() -> None:
    """Two would mean that two changes were made side by side and never joined."""
    assert len(_script(ROOT / "migrations").get_heads()) == 1


def test_a_fresh_database_has_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    """A change of tables without its migration shows here."""
    path = tmp_path / "reelbase.db"
    migrate(path)
    engine = sync_engine(path)
    try:
        with engine.connect() as conn:
            context = MigrationContext.configure(conn, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
            tables = set(inspect(conn).get_table_names()) - {"alembic_version"}
        assert {name for name in tables if not name.startswith("sqlite_")} == set(metadata.tables)
    finally:
        engine.dispose()


def test_a_failed_migration_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first statements are undone, the version stays, and the data is as it was."""
    path = tmp_path / "reelbase.db"
    migrate(path)
    engine = sync_engine(path)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE kept (id INTEGER)"))
        conn.execute(text("INSERT INTO kept VALUES (7)"))
        before = MigrationContext.configure(conn).get_current_revision()
    engine.dispose()

    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder)
    (folder / "versions" / "9999_breaks.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '9999', {before!r}\n"
        "branch_labels = depends_on = None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half_done (id INTEGER)')\n"
        "    op.execute('DELETE FROM kept')\n"
        "    op.execute('INSERT INTO no_such_table VALUES (1)')\n"
    )
    monkeypatch.setattr("server.migrate._config", lambda: _config(folder))
    with pytest.raises(Exception, match="no_such_table"):
        migrate(path)

    engine = sync_engine(path)
    with engine.connect() as conn:
        assert MigrationContext.configure(conn).get_current_revision() == before
        assert "half_done" not in inspect(conn).get_table_names()
        assert conn.execute(text("SELECT id FROM kept")).scalars().all() == [7]
    engine.dispose()


def test_a_wheel_takes_the_migrations_and_the_page_along() -> None:
    """Outside the repository they are found inside the package only.

    Building one needs a network; so this looks at what the build is told.
    """
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["server"]
    assert wheel["force-include"] == {"migrations": "server/migrations"}
    assert (ROOT / "migrations" / "env.py").is_file()
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "server" / "web").iterdir()}
    assert "server/web/index.html" in page
    # What git ignores, the build leaves out.
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *sorted(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""


def test_fly_and_docker_agree_with_the_service() -> None:
    """One port, one folder, and more time to end than the service takes."""
    shutdown = Settings.model_fields["shutdown_seconds"].default
    # The service cuts itself off, and says why, before the platform does.
    assert FLY["kill_timeout"] > shutdown + END
    assert FLY["kill_signal"] == "SIGTERM"
    assert FLY["deploy"]["strategy"] in ("rolling", "immediate")
    service = FLY["http_service"]
    assert service["auto_stop_machines"] == "off"
    assert service["checks"][0]["path"] == "/readyz"
    port = service["internal_port"]
    assert FLY["metrics"] == {"port": port, "path": "/metrics"}
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f'"--port", "{port}"]' in DOCKERFILE
    folder = FLY["mounts"]["destination"]
    assert f"REELBASE_DATA_DIR={folder} " in DOCKERFILE
    assert f'VOLUME ["{folder}"]' in DOCKERFILE


def test_the_image_gets_what_it_copies() -> None:
    """Each file that the Dockerfile names is there and let through by .dockerignore."""
    allowed = {line[1:] for line in _read(".dockerignore").splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names
    assert names == allowed
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize(
    "name",
    sorted(
        path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    ),
)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    """A file that was renamed or never written shows here."""
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", _read(name)):
        assert "://" in target or (folder / target).exists(), target


def test_the_error_codes_that_are_documented_exist() -> None:
    """docs/api.md lists no code that the service never says."""
    section = _read("docs/api.md").partition("\n## Errors\n")[2]
    cells = re.findall(r"^\|(?: \d+ \|)? (`\w+`.*?) \|", section, re.MULTILINE)
    codes = {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}
    assert len(codes) > 40
    source = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    assert sorted(code for code in codes if f'"{code}"' not in source) == []


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _files() -> list[Path]:
    """Everything that is tracked, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _lock(name: str) -> dict[str, str]:
    """The versions of a lock by normalized name; every line must pin one."""
    pinned: dict[str, str] = {}
    for line in _read(name).splitlines():
        requirement = Requirement(line)
        (only,) = requirement.specifier
        assert only.operator == "==", line
        pinned[canonicalize_name(requirement.name)] = only.version
    return pinned


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _script(folder: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(folder))
