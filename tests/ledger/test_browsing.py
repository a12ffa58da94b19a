"""Browsing a run's items: every order and filter against plain Python's own."""

from __future__ import annotations

import random
from typing import get_args

import numpy as np
import pytest
import sqlalchemy as sa

from enhancer.errors import RequestError
from enhancer.ledger.browsing import ItemFilter, Sort
from enhancer.ledger.engine import to_json
from enhancer.ledger.tables import item, score

STATES = ["published", "quarantined", "failed", "rejected", "held", "not_attempted", "reused", "pending"]
RANK = {"quarantined": 0, "failed": 0, "rejected": 1, "held": 2, "not_attempted": 3}


def decisions(applied: bool) -> dict[str, object]:
    one = {"stage": "denoising", "applied": applied, "reason": "noise", "numbers": {"sigma": [1.0]}}
    return {"decisions": [one], "models": {"dat-x2": "ab" * 32} if applied else {}}


@pytest.fixture
def browsed(ledger, build):
    """Sixty items of every kind, as rows and scores in plain Python."""
    chance = random.Random(3)
    build.open("r1", recipes={"0" * 64: {"name": "photo"}, "1" * 64: {"name": "scan", "scale": 2}})
    rows, scores = [], []
    for number in range(60):
        key = f"{'scan' if number % 4 else 'Photo'}/{chance.randrange(10**6):06}.png"
        state = STATES[number % len(STATES)]
        rows.append({
            **build.row("r1", key, number, -1 if number % 10 == 1 else 0, state=state, size=chance.randrange(1, 9) * 1000),
            "error_class": "truncated" if state in ("quarantined", "failed") else None,
            "recipe_name": "scan" if number % 3 == 0 else "photo",
            "attempts": number % 3, "released": 0, "reused": 0, "updated_at": float(chance.randrange(20)),
            "details": decisions(number % 2 == 0) if number % 5 else None,
        })  # fmt: skip
        for kind, among in (("fidelity", 2), ("reference", 3)):
            if number % among == 0:
                figures = {name: chance.randrange(10) / 10 for name in ("score", "psnr", "ssim", "lpips")}
                if kind == "fidelity":
                    figures |= {"artifact_score": chance.random(), "low_frequency_shift": chance.random()}
                scores.append({"run_id": "r1", "key": key, "kind": kind, "protocol": {}, "updated_at": 1.0, **figures})
    with ledger.engine.begin() as connection:
        for row in rows:
            connection.execute(sa.insert(item).values(**row))
        for one in scores:
            connection.execute(sa.insert(score).values(**one))
    found = {row["key"]: {**row, "scores": {}} for row in rows}
    for one in scores:
        found[one["key"]]["scores"][one["kind"]] = one
    return found


def counted(row):
    both = [row["scores"].get(kind, {}).get("score") for kind in ("reference", "fidelity")]
    return both[0] if both[0] is not None else both[1]


def expected(found, sort, descending):
    """The keys in an order, by Python's own sorting."""
    kinds = {"artefacts": ("fidelity", "artifact_score"), "shift": ("fidelity", "low_frequency_shift")}

    def figure(row):
        if sort == "worst":
            plain = counted(row)
            return (RANK.get(row["state"], 5), 1e6 if plain is None else plain)
        if sort in ("position", "key", "state", "attempts", "size"):
            return row[sort]
        if sort == "changed":
            return row["updated_at"]
        if sort == "score":
            value = counted(row)
        else:
            kind, name = kinds.get(sort, ("reference", sort))
            value = row["scores"].get(kind, {}).get(name)
        return (-1e300 if descending else 1e300) if value is None else value

    return [row["key"] for row in sorted(found.values(), key=lambda row: (figure(row), row["key"]), reverse=descending)]


@pytest.mark.parametrize("descending", [False, True])
def test_every_order_forwards_and_back(ledger, browsed, descending):
    for sort in get_args(Sort):
        wanted = expected(browsed, sort, descending)
        forwards, place = [], None
        while True:
            page = ledger.browsing.page("r1", ItemFilter(), sort, descending=descending, limit=7, after=place)
            forwards += [row.key for row in page.rows]
            assert (page.total, page.before is None) == (60, place is None)
            if page.after is None:
                break
            place = page.after
        assert forwards == wanted, sort
        back = [row.key for row in page.rows]
        while page.before is not None:
            page = ledger.browsing.page("r1", ItemFilter(), sort, descending=descending, limit=7, before=page.before)
            back = [row.key for row in page.rows] + back
        assert back == wanted, sort


def test_no_page_shifts_while_pictures_come_to_an_end(ledger, browsed):
    first = ledger.browsing.page("r1", ItemFilter(states=("pending",)), "position", limit=3)
    rest = [key for key, row in browsed.items() if row["state"] == "pending"][3:]
    with ledger.engine.begin() as connection:
        done = item.update().where(item.c.key.in_([row.key for row in first.rows])).values(state="published")
        connection.execute(done)
    second = ledger.browsing.page("r1", ItemFilter(states=("pending",)), "position", after=first.after)
    assert [row.key for row in second.rows] == rest


FILTERS = [
    (ItemFilter(states=("rejected", "held")), lambda row: row["state"] in ("rejected", "held")),
    (ItemFilter(search="PHOTO"), lambda row: "Photo" in row["key"]),
    (ItemFilter(search="%"), lambda row: False),
    (ItemFilter(recipe="scan"), lambda row: row["recipe_name"] == "scan"),
    (ItemFilter(error_class="truncated"), lambda row: row["error_class"] == "truncated"),
    (ItemFilter(stage="denoising"), lambda row: bool(row["details"]) and row["details"]["decisions"][0]["applied"]),
    (ItemFilter(stage="denois"), lambda row: False),
    (ItemFilter(net="dat-x2"), lambda row: bool(row["details"]) and bool(row["details"]["models"])),
    (ItemFilter(net='x": "%'), lambda row: False),
    (ItemFilter(bytes_from=4000, bytes_to=6000), lambda row: 4000 <= row["size"] <= 6000),
    (ItemFilter(score_from=0.5), lambda row: (counted(row) or 0) >= 0.5),
    (ItemFilter(score_to=0.4), lambda row: counted(row) is not None and counted(row) <= 0.4),
    (ItemFilter(score_from=0.2, score_to=0.6), lambda row: counted(row) is not None and 0.2 <= counted(row) <= 0.6),
    (ItemFilter(known=True), lambda row: row["shard_id"] == -1),
    (ItemFilter(known=False, states=("failed",)), lambda row: row["shard_id"] != -1 and row["state"] == "failed"),
]


def test_every_filter(ledger, browsed):
    for matching, holds in FILTERS:
        wanted = sorted(key for key, row in browsed.items() if holds(row))
        page = ledger.browsing.page("r1", matching, "key", limit=100)
        assert (sorted(row.key for row in page.rows), page.total) == (wanted, len(wanted)), matching
        assert sorted(ledger.browsing.keys("r1", matching, batch=4)) == wanted, matching


def test_what_there_is_to_filter_by(ledger, browsed):
    facets = ledger.browsing.facets("r1")
    assert (facets.recipes, facets.errors) == (["photo", "scan"], ["truncated"])
    assert (facets.stages, facets.nets) == (["denoising"], ["dat-x2"])


def test_scores_are_counted_in_parts(ledger, browsed):
    """Against NumPy's histogram, of all and of some."""
    for matching, holds in (
        (ItemFilter(), lambda row: True),
        (ItemFilter(search="photo"), lambda row: "Photo" in row["key"]),
    ):
        scores = [counted(row) for row in browsed.values() if holds(row) and counted(row) is not None]
        wanted, _ = np.histogram(np.array(scores) + 1e-9, bins=20, range=(0, 1))
        assert ledger.browsing.score_bins("r1", matching) == wanted.tolist()
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(score).values(score=1.0))
    assert ledger.browsing.score_bins("r1", ItemFilter())[-1] == len([1 for row in browsed.values() if row["scores"]])


def test_rows_come_with_their_scores(ledger, browsed):
    (row,) = ledger.browsing.page("r1", ItemFilter(), "score", limit=1).rows
    assert row.scores["fidelity" if "fidelity" in row.scores else "reference"]["score"] is not None


@pytest.mark.parametrize("token", ["", "x", "bnVsbA", "WzEsMiwzXQ", "W1tbW1tbXQ", "Ww" * 600])
def test_a_forged_place_is_refused(ledger, browsed, token):
    with pytest.raises(RequestError, match="first page"):
        ledger.browsing.page("r1", ItemFilter(), "score", after=token)


def test_a_place_of_another_order_is_refused(ledger, browsed):
    place = ledger.browsing.page("r1", ItemFilter(), "key", limit=3).after
    with pytest.raises(RequestError, match="another order"):
        ledger.browsing.page("r1", ItemFilter(), "score", after=place)


def test_what_the_filters_of_stage_and_net_look_for_is_what_is_written():
    """The text that they search is that of the engine's own JSON."""
    written = to_json(decisions(True))
    assert '"stage": "denoising", "applied": true' in written
    assert '"dat-x2": "' in written
