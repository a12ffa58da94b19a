"""What the worker does, where the nets are, with each picture that evaluation left for it: score what only a net can,
and give what the gate refused its one gentler attempt.
"""

from __future__ import annotations

from hashlib import md5

from enhancer.batch import layout
from enhancer.batch.checksums import KNOWN_AS, checksum
from enhancer.batch.second_look import is_marked, unmarked
from enhancer.batch.worker.evaluate import EvaluateShard
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.judging import Judged, expectation_of, judged, score_columns
from enhancer.batch.worker.viewmaking import Seen
from enhancer.codecs import decode
from enhancer.identity import digest
from enhancer.image import Image
from enhancer.ledger import Item, ItemState, Lease
from enhancer.processing import Picture
from enhancer.settings import Settings


class SecondLook(EvaluateShard):
    """One worker's pass over the pictures of a shard that evaluation marked.

    Each is judged anew, for what is stored may be another by now: a gentler attempt at the picture that it copies.
    """

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._nets = self._pipeline.nets

    def _is_for_me(self, row: Item) -> bool:
        return is_marked(row)

    def _refused(self, row: Item, picture: Picture, truth: Image | None, found: Judged) -> ItemState:
        """The one gentler attempt of a rejected picture; the end of it where there is none or it is refused too."""
        gentler = picture.recipe.gentler()
        if gentler == picture.recipe or row.reused:
            return self._turn_down(row, picture, found)
        attempt = Picture(name=picture.name, recipe=gentler, data=picture.data)
        attempt.document = picture.document
        self._processing.enhance(attempt)
        self._processing.encode(attempt)
        details = {
            **unmarked(row),
            "decisions": [decision.model_dump(mode="json") for decision in attempt.enhanced.decisions],
            "models": attempt.enhanced.models,
            "gentler": True,
            KNOWN_AS: checksum(attempt.result.data),
        }
        before, data = picture.document.first, attempt.result.data
        after = decode(data, name=picture.name, limits=self._result_limits)
        expected = expectation_of(before, details, gentler, self._nets)
        better = judged(before, after.first, truth, expected, gentler, self._scorer)
        if not better.verdict.passed:
            return self._turn_down(row, picture, found)
        self._keep_views(row, picture, Seen(after, len(data)), better)
        lease, identity = self._lease, row.require_identity()
        staged = layout.staged_key(lease.run_id, lease.shard_id, lease.epoch, row.position, identity)
        self._work.put(staged, data, content_type=attempt.result.parts.content_type)
        with self._ledger.fenced(lease) as connection:
            self._ledger.results.replace(
                connection,
                identity,
                address=self._work.address(staged),
                digest=digest(data),
                size=len(data),
                md5=md5(data, usedforsecurity=False).hexdigest(),
                effective_recipe=gentler.model_dump(mode="json"),
                details=details,
            )
            self._ledger.items.add_scores(connection, lease, row.key, map(score_columns, better.scores))
            return self._pass(connection, row.key, staged_key=staged, details=details)
