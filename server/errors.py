"""The error tree: everything that an asker is told about, as problem details (RFC 9457).

Each error carries a stable `code` that programs may rely on, an HTTP status, and a `detail`
in words that says what was wrong and what to do. Layers below HTTP raise these too, so that
one message serves the API, the command line and a job's row.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus


class ReelbaseError(Exception):
    """Base of all errors that may be shown: `code`, `status` and `detail` are safe to print."""

    status: int = 500
    code: str = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Words for the asker; a more specific `code`; extra response headers; wrong fields."""
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.headers = dict(headers or {})
        self.fields = [dict(field) for field in fields]

    @property
    def title(self) -> str:
        """The HTTP status phrase, as RFC 9457 section 3.1.3 suggests for `about:blank`."""
        return HTTPStatus(self.status).phrase


class Invalid(ReelbaseError):
    """The request is well-formed but asks for something that cannot be."""

    status = 422
    code = "invalid_request"


class BadRequest(ReelbaseError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"


class NoPublicUrl(Invalid):
    """A provider cannot reach us, and a file is too large to be sent along."""

    code = "no_public_url"

    def __init__(self) -> None:
        super().__init__(
            "The provider cannot fetch this image: the service has no public URL. Set "
            "REELBASE_PUBLIC_URL to the address at which the internet reaches it, or use an "
            "image that is small enough to be sent along (about 190 KB)."
        )


class Unauthorized(ReelbaseError):
    """No credential, or one that does not count (any more)."""

    status = 401
    code = "unauthorized"


class Forbidden(ReelbaseError):
    """A good credential that may not do this."""

    status = 403
    code = "forbidden"


class NotFound(ReelbaseError):
    """It is not there, or not the asker's: both look the same (ids leak nothing)."""

    status = 404
    code = "not_found"


class Conflict(ReelbaseError):
    """The state of the thing does not allow it."""

    status = 409
    code = "conflict"


class Gone(ReelbaseError):
    """It was there once; its bytes are not to be had any more."""

    status = 410
    code = "gone"


class PreconditionFailed(ReelbaseError):
    """What a conditional request expects is not so (RFC 9110 section 13)."""

    status = 412
    code = "precondition_failed"


class RangeNotSatisfiable(ReelbaseError):
    """No byte of the range that is asked for exists (RFC 9110 section 15.5.17)."""

    status = 416
    code = "range_not_satisfiable"


class TooLarge(ReelbaseError):
    """More bytes than are accepted."""

    status = 413
    code = "too_large"


class StorageFull(ReelbaseError):
    """The volume has no room for more bytes; reading goes on."""

    status = 507
    code = "storage_full"


class QuotaExceeded(ReelbaseError):
    """The user may not have more; the volume itself may have room (RFC 4331 section 6: 507)."""

    status = 507
    code = "quota_exceeded"


class TooMany(ReelbaseError):
    """A limit that protects from a runaway script."""

    status = 429
    code = "too_many_requests"


class QueryTooLong(ReelbaseError):
    """More of a query string than is taken."""

    status = 414
    code = "query_too_long"


class Unavailable(ReelbaseError):
    """The service cannot do this now."""

    status = 503
    code = "unavailable"


class TooSlow(Unavailable):
    """A read took longer than one may, and was stopped."""

    code = "too_slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"This takes longer than {seconds:g} s and was stopped. Narrow the search: a shorter "
            "`q`, one project, one role or kind.",
            headers={"Retry-After": "5"},
        )
