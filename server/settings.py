"""Settings: read from the environment, here and nowhere else. The table is in docs/settings.md."""

import os
import secrets
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.blobs.owner import hand_over
from server.errors import Invalid

SECRET_FILE = "secret-key"  # noqa: S105
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# Far beyond what anybody wants, and not yet beyond what clocks and numbers hold.
Count = Annotated[int, Field(gt=0, le=10**9)]
Bytes = Annotated[int, Field(gt=0, le=2**60)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


def _seconds(value: object) -> object:
    """A time with its unit, such as `90s`, `30m`, `1h`, `1d`, in seconds."""
    if isinstance(value, str) and value[-1:] in _UNITS:
        try:
            return float(value[:-1]) * _UNITS[value[-1]]
        except ValueError:
            raise ValueError("a number and a unit are wanted, as in 30m, 1h or 1d") from None
    return value


def _web_url(value: str) -> str:
    """A URL that others are given, or that is asked for: one that is none costs predictions."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("a URL is wanted, as in https://reelbase.example.com")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]


class Settings(BaseSettings):
    """Every setting, with its default. Names in the environment begin with `REELBASE_`."""

    model_config = SettingsConfigDict(
        env_prefix="REELBASE_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Path("./data")
    public_url: WebUrl | None = None
    secret_key: str | None = Field(default=None, repr=False)
    bootstrap_key: str | None = Field(default=None, repr=False, min_length=16)
    cors_origins: str = ""
    allow_private_urls: str = ""
    min_free_bytes: int = Field(default=256 * 1024 * 1024, ge=0, le=2**60)
    trash_days: float = Field(default=7.0, ge=0, le=36500, allow_inf_nan=False)
    max_upload_bytes: Bytes = 100 * 1024**3
    upload_expiry: Seconds = 24 * 3600.0
    provider_concurrency: Count = 8
    max_active_predictions: Count = 100
    daily_predictions: Count | None = None
    submission_grace: float = Field(default=60.0, ge=0, le=1e9, allow_inf_nan=False)
    max_attempts: Count = 2
    save_retry_seconds: Seconds = 15.0
    keep_unsaved: bool = True
    downloads: Count = 2
    max_download_bytes: Bytes = 10 * 1024**3
    max_download_seconds: Seconds = 4 * 3600.0
    download_timeout: Seconds = 3600.0
    download_stall: Seconds = 60.0
    download_retry_seconds: Seconds = 10.0
    download_proxy: str | None = Field(default=None, repr=False)
    cookies_file: Path | None = None
    shutdown_seconds: Seconds = 20.0
    media_hosts: str = "replicate.delivery *.replicate.delivery fal.media *.fal.media"
    backup_target: str | None = None
    backup_every: Annotated[Seconds | None, BeforeValidator(_seconds)] = None
    backup_keep: Count = 14
    backup_rate: float = Field(default=10.0, ge=0.001, le=1e9, allow_inf_nan=False)
    log_format: str = Field(default="auto", pattern="^(auto|json|text)$")

    replicate_api_token: str | None = Field(
        default=None, repr=False, validation_alias="REPLICATE_API_TOKEN"
    )
    replicate_base_url: WebUrl = Field(
        default="https://api.replicate.com", validation_alias="REPLICATE_BASE_URL"
    )
    fal_key: str | None = Field(default=None, repr=False, validation_alias="FAL_KEY")
    fal_queue_url: WebUrl = Field(default="https://queue.fal.run", validation_alias="FAL_QUEUE_URL")
    fal_jwks_url: WebUrl = Field(
        default="https://rest.fal.ai/.well-known/jwks.json", validation_alias="FAL_JWKS_URL"
    )
    fly_app_name: str | None = Field(default=None, validation_alias=AliasChoices("FLY_APP_NAME"))

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "reelbase.db"

    @property
    def outside_url(self) -> str | None:
        """How the outside reaches us, without a slash at the end; None when nobody has said."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"https://{self.fly_app_name}.fly.dev" if self.fly_app_name else None

    def secret_keys(self) -> list[str]:
        """The signing keys, newest first; one is made and kept beside the data if none is set.

        Raises Invalid when what is set, or in the file, is no key.
        """
        if self.secret_key:
            keys = [key.strip() for key in self.secret_key.split(",") if key.strip()]
            if not keys:
                raise Invalid("REELBASE_SECRET_KEY has no key in it.", code="bad_settings")
            return keys
        path = self.data_dir / SECRET_FILE
        if not path.exists():
            write_private(path, secrets.token_urlsafe(48) + "\n")
        try:
            key = path.read_text().strip()
        except UnicodeDecodeError:
            key = ""
        if not key:
            raise Invalid(
                f"{path} has no signing key in it. Put back the one of a backup, or delete the "
                "file: a new one is made then, and links that were handed out end.",
                code="bad_settings",
            )
        return [key]


def load(**overrides: object) -> Settings:
    """The settings of this environment. Raises Invalid, naming each variable that is wrong."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(
            f"{_variable(str(issue['loc'][0]))}: {issue['msg']}" for issue in error.errors()
        )
        raise Invalid(f"Settings that cannot be used: {wrong}", code="bad_settings") from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and that was never readable by others.

    All of it or nothing: a full disk leaves no empty file behind.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        hand_over(partial)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _variable(field: str) -> str:
    return field if field.isupper() else f"REELBASE_{field.upper()}"
