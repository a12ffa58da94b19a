"""Which pictures of a run a page lists, as its address says it: filters, order, place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from fastapi import Query
from pydantic import BeforeValidator, Field

from enhancer.ledger.browsing import ItemFilter, Sort
from enhancer.ledger.states import ItemState

NO_NUL = r"^[^\x00]*$"
"""What no key, run or DAG has in its name; PostgreSQL refuses to look for it."""

MEGABYTE: Final = 10**6


def _absent(value: Any) -> Any:
    """An empty field of a form."""
    return None if value == "" else value


Word = Annotated[str, Query(max_length=200, pattern=NO_NUL)]
Bounded = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Number = Annotated[Bounded | None, BeforeValidator(_absent), Query()]
State = Annotated[ItemState | None, BeforeValidator(_absent), Query()]
Known = Annotated[bool | None, BeforeValidator(_absent), Query(description="only repeated verdicts, or none of these")]
Order = Annotated[Sort | None, BeforeValidator(_absent), Query()]
Place = Annotated[str | None, Query(max_length=3000)]

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
NAMES: Final = (
    "state", "search", "stage", "net", "recipe", "error", "score_from", "score_to", "mb_from", "mb_to", "known",
    "order", "desc",
)  # fmt: skip
"""Of the fields of a listing, as they stand in an address."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed, and in which order; a dependency of every route that lists pictures."""

    state: State = None
    search: Word = ""
    stage: Word = ""
    net: Word = ""
    recipe: Word = ""
    error: Word = ""
    score_from: Number = None
    score_to: Number = None
    mb_from: Number = None
    mb_to: Number = None
    known: Known = None
    order: Order = None
    desc: bool = False

    @property
    def matching(self) -> ItemFilter:
        """The filter for the ledger."""
        return ItemFilter(
            states=(self.state.value,) if self.state else (),
            search=self.search,
            stage=self.stage,
            net=self.net,
            recipe=self.recipe,
            error_class=self.error,
            score_from=self.score_from,
            score_to=self.score_to,
            bytes_from=None if self.mb_from is None else round(self.mb_from * MEGABYTE),
            bytes_to=None if self.mb_to is None else round(self.mb_to * MEGABYTE),
            known=self.known,
        )

    @property
    def sort(self) -> Sort:
        """Its order; none given: the worst first."""
        return self.order or "worst"

    @property
    def is_filtered(self) -> bool:
        """Whether it may leave pictures out."""
        return self.matching != ItemFilter()

    def query(self, **changes: Any) -> dict[str, Any]:
        """Its part of an address, with changes; what is at its default is left out."""
        said = {name: getattr(self, name) for name in NAMES} | changes
        said["known"] = {True: "true", False: "false"}.get(said["known"], said["known"])
        said["desc"] = "true" if said["desc"] else None
        return {name: getattr(value, "value", value) for name, value in said.items() if value not in (None, "")}

    def sorted_by(self, order: Sort) -> dict[str, Any]:
        """Its address in another order; the other way round where it is in this order already."""
        return self.query(order=order, desc=self.sort == order and not self.desc)
