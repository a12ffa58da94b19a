"""Bearer tokens of the HTTP service: made, recognised, revoked. The ledger keeps digests, never a secret."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection
from typing import Final

from blake3 import blake3
from sqlalchemy import Engine, func, insert, select, update

from enhancer.errors import RequestError
from enhancer.ledger.engine import reading
from enhancer.ledger.rows import Token
from enhancer.ledger.tables import db_now, service_token
from enhancer.reasons import Reason

SCOPES: Final = ("read", "enhance", "admin")
"""What a token may allow: looking at what is its bearer's own, giving work, seeing and ending everybody's."""

_FORM: Final = re.compile(r"enh_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class Tokens:
    """Who may call the service."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, name: str, scopes: Collection[str], *, valid_s: float | None = None, rate: int | None = None
    ) -> tuple[Token, str]:
        """A new token, and the text that its bearer sends; it is shown this once and cannot be had again.

        Args:
            name: whose it is, for people.
            scopes: some of :data:`SCOPES`.
            valid_s: seconds for which it is valid; None: until it is revoked.
            rate: requests a minute; None: no limit of its own.

        Raises:
            RequestError: an unknown scope, or none.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise RequestError(
                f"{', '.join(unknown) or 'nothing'} is no scope: there are {', '.join(SCOPES)}",
                reason=Reason.BAD_PARAMS,
            )
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(
                insert(service_token).values(
                    token_id=token_id,
                    name=name[:200],
                    digest=_digest(secret),
                    scopes=",".join(scope for scope in SCOPES if scope in scopes),
                    rate=rate,
                    created_at=db_now(),
                    expires_at=None if valid_s is None else db_now() + valid_s,
                )
            )
            row = connection.execute(select(service_token).where(service_token.c.token_id == token_id)).one()
        return Token(*row), f"enh_{token_id}_{secret}"

    def bearer(self, text: str) -> Token | None:
        """The valid token that `text` is; None for any other text, and for one that has expired or was revoked."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(
                select(service_token).where(
                    service_token.c.token_id == found[1],
                    service_token.c.revoked_at.is_(None),
                    func.coalesce(service_token.c.expires_at, db_now() + 1) > db_now(),
                )
            ).one_or_none()
        # High-entropy secrets need no slow hash; the comparison takes as long for a wrong one as for the right one.
        if row is None or not hmac.compare_digest(row.digest, _digest(found[2])):
            return None
        return Token(*row)

    def all(self) -> list[Token]:
        """Every token ever made, the oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(service_token).order_by(service_token.c.created_at, service_token.c.token_id)
            )
            return [Token(*row) for row in rows]

    def revoke(self, token_id: str) -> bool:
        """End a token at once; False where it was revoked before.

        Raises:
            RequestError: there is no such token.
        """
        with self._engine.begin() as connection:
            known = connection.execute(
                select(service_token.c.token_id).where(service_token.c.token_id == token_id)
            ).one_or_none()
            if known is None:
                raise RequestError(
                    f"there is no token {token_id!r}: `enhancer token list` shows their ids", reason=Reason.NOT_FOUND
                )
            revoked = connection.execute(
                update(service_token)
                .where(service_token.c.token_id == token_id, service_token.c.revoked_at.is_(None))
                .values(revoked_at=db_now())
            ).rowcount
        return revoked == 1


def _digest(secret: str) -> str:
    return blake3(secret.encode()).hexdigest()
