"""Bring a data folder's database to the layout that this code knows, by Alembic migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from server.db import create_file, sync_engine
from server.errors import ReelbaseError
from server.reasons import explain


class SchemaError(ReelbaseError):
    """The database has another layout than this code."""

    code = "database_schema"


def migrate(path: Path) -> None:
    """Create or upgrade the database file. The caller holds the lock of the data folder.

    Each migration is one transaction. Raises SchemaError for a database that a newer version of
    this software has written, and for a migration that fails.
    """
    # Empty is what a start leaves that was killed at once: it has no layout yet.
    if not path.exists() or path.stat().st_size == 0:
        create_file(path)
    engine = sync_engine(path)
    try:
        config, known = _config(), _known()
        current = _current(engine)
        if current is not None and current not in known:
            raise SchemaError(
                f"{path} was written by a newer version (schema {current}). "
                "Run that version, or restore a backup made before the upgrade."
            )
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except Exception as error:
                if explain(error) is not None:
                    raise
                cause = error.orig if isinstance(error, DBAPIError) else error
                raise SchemaError(
                    f"{path} cannot be brought to the layout of this version: {cause}. The "
                    "step that failed has changed nothing. Run the version that you had, or "
                    "restore a backup made before the upgrade."
                ) from None
    finally:
        engine.dispose()


def open_existing(path: Path) -> Engine:
    """An engine for a command that works beside (or without) the server.

    Only the server migrates: raises SchemaError when there is no database, or another layout.
    """
    if not path.exists():
        raise SchemaError(f"There is no database at {path}. Start the server there once first.")
    engine = sync_engine(path)
    try:
        current = _current(engine)
    except BaseException:
        engine.dispose()
        raise
    if current != _script().get_current_head():
        engine.dispose()
        raise SchemaError(
            f"{path} has another layout (schema {current}) than this version of the software: "
            "start the server of this version once, or run the command of the other version."
        )
    return engine


def check_known(revision: str | None, path: Path) -> str:
    """The revision of a database, if this version can bring it up to date. Raises SchemaError."""
    if revision is None:
        raise SchemaError(f"{path} is not a database of this software.")
    if revision not in _known():
        raise SchemaError(
            f"{path} was written by a newer version (schema {revision}): that version is needed."
        )
    return revision


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _known() -> set[str]:
    return {revision.revision for revision in _script().walk_revisions()}


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    here = Path(__file__).parent
    # In the repository beside the package, in a wheel inside it.
    folder = next(p for p in (here / "migrations", here.parent / "migrations") if p.is_dir())
    config = Config()
    # Percent signs are the config parser's own.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
