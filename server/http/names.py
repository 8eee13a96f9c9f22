"""The names that people give: one rule for users, projects, scenes and keys."""

from typing import Annotated

from msgspec import Meta

from server.catalog import names

Name = Annotated[str, Meta(min_length=1, max_length=names.LONGEST_NAME, pattern=names.NAME)]
