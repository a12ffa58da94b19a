"""No identity is computed twice; a fallen claim is taken over."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from enhancer.errors import ErrorKind, LeaseLostError
from enhancer.ledger import ClaimLostError
from enhancer.ledger.leases import fence
from enhancer.ledger.tables import db_now, shard


@pytest.fixture
def two(ledger, build):
    """The leases of two shards of one run."""
    build.run("r1", ("a0", "a1"), shards=2)
    return [ledger.leases.take("r1", number, f"w{number}", 60) for number in range(2)]


def store(ledger, lease, identity, **values):
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        ledger.results.store(connection, lease, identity, **values)


def expire(ledger, lease):
    with ledger.engine.begin() as connection:
        connection.execute(
            sa.update(shard).where(shard.c.shard_id == lease.shard_id).values(lease_expires_at=db_now() - 0.001)
        )


def test_claim_store_and_find(ledger, two):
    first, second = two
    assert ledger.results.claim(first, "i").status == "mine"
    assert ledger.results.claim(second, "i").status == "busy"
    store(ledger, first, "i", address="s3://work/x", digest="d" * 64, size=5, md5="m", details={"models": {}})
    found = ledger.results.claim(second, "i")
    assert found.status == "stored"
    assert (found.row.address, found.row.digest, found.row.size, found.row.attempts) == (
        "s3://work/x", "d" * 64, 5, 1,
    )  # fmt: skip
    assert ledger.results.get("i").state == "stored"
    assert ledger.results.get("other") is None


def test_a_shards_own_claim_is_its_own_again(ledger, two):
    """After its worker died: under the same lease or the next one."""
    first, _ = two
    ledger.results.claim(first, "i")
    assert ledger.results.claim(first, "i").status == "mine"
    again = ledger.leases.take("r1", 0, "w9", 60)
    assert ledger.results.claim(again, "i").status == "mine"
    assert ledger.results.get("i").attempts == 3
    with pytest.raises(LeaseLostError):
        store(ledger, first, "i", address="x")
    store(ledger, again, "i", address="y")


def test_expired_claim_is_taken_over_and_the_loser_cannot_store(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    expire(ledger, first)
    assert ledger.results.claim(second, "i").status == "mine"
    with pytest.raises(ClaimLostError) as caught:
        store(ledger, first, "i", address="late")
    assert caught.value.kind is ErrorKind.TRANSIENT
    store(ledger, second, "i", address="good")
    assert ledger.results.get("i").address == "good"


def test_claim_falls_when_its_shard_gets_a_new_lease(ledger, two):
    _, second = two
    ledger.results.claim(two[0], "i")
    ledger.leases.take("r1", 0, "w9", 60)
    assert ledger.results.claim(second, "i").status == "mine"


def test_renewal_keeps_a_claim(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    expire(ledger, first)
    ledger.leases.renew(first, 60)
    assert ledger.results.claim(second, "i").status == "busy"


def test_stored_results_outlive_their_lease(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    store(ledger, first, "i", address="x")
    expire(ledger, first)
    assert ledger.results.claim(second, "i").status == "stored"


def test_give_up_frees_own_claims_only(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    with ledger.engine.begin() as connection:
        ledger.results.give_up(connection, second, "i")
    assert ledger.results.claim(second, "i").status == "busy"
    with ledger.engine.begin() as connection:
        ledger.results.give_up(connection, first, "i")
    assert ledger.results.claim(second, "i").status == "mine"
    store(ledger, second, "i", address="x")
    with ledger.engine.begin() as connection:
        ledger.results.give_up(connection, second, "i")
    assert ledger.results.get("i").state == "stored"


def test_give_up_claims(ledger, two):
    first, second = two
    for identity in ("i0", "i1", "i2"):
        ledger.results.claim(first, identity)
    ledger.results.claim(second, "i3")
    store(ledger, first, "i2", address="x")
    ledger.results.give_up_claims(first)
    found = {identity: getattr(ledger.results.get(identity), "state", None) for identity in ("i0", "i1", "i2", "i3")}
    assert found == {"i0": None, "i1": None, "i2": "stored", "i3": "claimed"}


def test_replace_and_points_to(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    with ledger.engine.begin() as connection:
        ledger.results.replace(connection, "i", address="too early")
    assert ledger.results.get("i").address is None
    store(ledger, first, "i", address="staged")
    with ledger.engine.begin() as connection:
        fence(connection, second)
        ledger.results.replace(connection, "i", address="gentler", digest="d2")
    row = ledger.results.get("i")
    assert (row.address, row.digest, row.attempts, row.state) == ("gentler", "d2", 2, "stored")
    assert ledger.results.points_to("gentler")
    assert not ledger.results.points_to("staged")


def test_moved_and_reopen(ledger, two):
    first, second = two
    ledger.results.claim(first, "i")
    ledger.results.reopen(second, "i", address=None)  # a claim is not a stored object
    assert ledger.results.claim(second, "i").status == "busy"
    store(ledger, first, "i", address="staged")
    with ledger.engine.begin() as connection:
        ledger.results.moved(connection, "i", "target")
    ledger.results.reopen(second, "i", address="staged")  # it has moved meanwhile: no effect
    assert ledger.results.get("i").address == "target"
    ledger.results.reopen(second, "i", address="target")
    assert ledger.results.claim(second, "i").status == "mine"


@pytest.mark.parametrize("fallen", [False, True])
def test_of_eight_racing_claims_one_wins(ledger, build, race, fallen):
    """Both for an identity that no one has seen and for a claim that has fallen."""
    build.run("r1", tuple(f"a{n}" for n in range(9)), shards=9)
    leases = [ledger.leases.take("r1", number, f"w{number}", 60) for number in range(9)]
    for number in range(4):
        identity = f"i{number}"
        if fallen:
            ledger.results.claim(leases[8], identity)
            expire(ledger, leases[8])
        claims = race(8, lambda n, identity=identity: ledger.results.claim(leases[n], identity))
        assert sorted(claim.status for claim in claims) == ["busy"] * 7 + ["mine"]
        winner = [claim.status for claim in claims].index("mine")
        assert ledger.results.get(identity).shard_id == winner
        if fallen:
            ledger.leases.renew(leases[8], 60)
