"""Tokens: recognised while they are valid, and never to be read out of the ledger."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from enhancer.errors import RequestError


def test_a_token_is_recognised_until_it_is_revoked(ledger):
    made, secret = ledger.tokens.create("ann's script", ["read", "enhance"], rate=60)
    found = ledger.tokens.bearer(secret)
    assert found == made
    assert found.scope_names == {"read", "enhance"}
    assert ledger.tokens.revoke(made.token_id)
    assert ledger.tokens.bearer(secret) is None
    assert not ledger.tokens.revoke(made.token_id)
    with pytest.raises(RequestError, match="enhancer token list"):
        ledger.tokens.revoke("ffffffffffff")


def test_an_expired_token_is_refused(ledger):
    _, old = ledger.tokens.create("old", ["read"], valid_s=-1)
    _, new = ledger.tokens.create("new", ["read"], valid_s=60)
    assert ledger.tokens.bearer(old) is None
    assert ledger.tokens.bearer(new) is not None


def test_anything_else_is_no_token(ledger):
    made, secret = ledger.tokens.create("ann", ["read"])
    _, other = ledger.tokens.create("bob", ["read"])
    mixed = f"enh_{made.token_id}_{other.rpartition('_')[2] if other.count('_') == 2 else other[17:]}"
    for text_ in ("", "enh_", secret[:-1], secret + "x", secret.upper(), mixed, "enh_' OR 1=1 --"):
        assert ledger.tokens.bearer(text_) is None, text_


def test_the_secret_is_nowhere_in_the_ledger(ledger):
    _, secret = ledger.tokens.create("ann", ["admin"])
    with ledger.engine.begin() as connection:
        rows = connection.execute(text("SELECT * FROM service_token")).all()
    assert secret[17:] not in repr(rows)


@pytest.mark.parametrize("scopes", [[], ["read", "everything"]])
def test_scopes_are_those_that_there_are(ledger, scopes):
    with pytest.raises(RequestError, match="read, enhance, admin"):
        ledger.tokens.create("ann", scopes)
