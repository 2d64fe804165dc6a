"""API keys: shown once, kept as a hash."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Table, bindparam
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime, enum_column, rows_of, utc_now

KEY_PREFIX: Final = "rota_ak_"
_SHOWN_PREFIX_LENGTH: Final = len(KEY_PREFIX) + 4
_SECRET: Final = re.compile(f"{KEY_PREFIX}[0-9a-f]{{64}}")


class Role(StrEnum):
    """What a key may do."""

    ADMINISTRATOR = "Administrator"
    READER = "Reader"


class ApiKey(SQLModel, table=True):
    """One API key. Its secret is not here, only the SHA-256 of it."""

    __tablename__ = "api_key"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200, unique=True)
    role: Role = Field(sa_type=enum_column(Role))
    key_prefix: str = Field(max_length=_SHOWN_PREFIX_LENGTH)
    """The first characters of the secret, to tell keys apart."""
    key_hash: str = Field(max_length=64, unique=True)
    """SHA-256 of the secret, in lower-case hex."""
    created: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def is_valid(self, now: datetime) -> bool:
        """Whether the key opens anything at an instant."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def hash_key(secret: str) -> str:
    """Returns the form in which a secret is kept. It has 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_api_key(name: str, role: Role, expires: datetime | None = None) -> tuple[ApiKey, str]:
    """Makes a key.

    Returns:
        The row to store, and the secret: `rota_ak_` and 64 hex digits, to be shown once.
    """
    secret = KEY_PREFIX + secrets.token_hex(32)
    row = ApiKey(
        name=name,
        role=role,
        key_prefix=secret[:_SHOWN_PREFIX_LENGTH],
        key_hash=hash_key(secret),
        expires=expires,
    )
    return row, secret


_KEYS: Final[Table] = ApiKey.__table__  # type: ignore[attr-defined]
_ALIKE: Final = _KEYS.select().where(_KEYS.c.key_prefix == bindparam("prefix"))


def find_api_key(connection: Connection, secret: str) -> ApiKey | None:
    """Returns the key with this secret, valid or not.

    It is looked for by its first characters, which are shown to everyone; the rest is compared in constant time.
    """
    if not _SECRET.fullmatch(secret):
        return None
    wanted = hash_key(secret)
    alike = rows_of(ApiKey, connection.execute(_ALIKE, {"prefix": secret[:_SHOWN_PREFIX_LENGTH]}))
    return next((key for key in alike if hmac.compare_digest(key.key_hash, wanted)), None)


async def find_api_key_by_name(session: AsyncSession, name: str) -> ApiKey | None:
    """Returns the key of that name, valid or not."""
    return (await session.exec(select(ApiKey).where(ApiKey.name == name))).one_or_none()


async def list_api_keys(session: AsyncSession) -> Sequence[ApiKey]:
    """Returns all keys, oldest first."""
    return (await session.exec(select(ApiKey).order_by(col(ApiKey.created), col(ApiKey.id)))).all()
