"""Texts of the vocabulary: every ordinary id once, as far as there is room, in an order by lot."""

from support.judging.judgements import VOCABULARY_OF_FAKES, protocol

from tasks.judging.measure.accuracy.round_trips import vocabulary_parts

ORDINARY = set(range(VOCABULARY_OF_FAKES.size)) - set(VOCABULARY_OF_FAKES.special_ids)


def test_every_ordinary_id_is_spelled_once_and_no_special_one() -> None:
    parts = vocabulary_parts(protocol())
    ids = [token for part in parts for token in part]
    assert set(ids) == ORDINARY
    assert len(ids) == len(ORDINARY)
    room = protocol().accuracy.round_trip_tokens
    assert all(0 < len(part) <= room / 2 for part in parts)


def test_the_lot_follows_from_the_seed() -> None:
    assert vocabulary_parts(protocol(seed=1)) == vocabulary_parts(protocol(seed=1))
    assert vocabulary_parts(protocol(seed=1)) != vocabulary_parts(protocol(seed=2))


def test_of_a_vocabulary_that_does_not_fit_a_part_is_drawn() -> None:
    base = protocol()
    few = base.accuracy.model_copy(update={"vocabulary_texts": 1, "round_trip_tokens": 40})
    (part,) = vocabulary_parts(base.model_copy(update={"accuracy": few}))
    assert len(part) == 20
    assert set(part) < ORDINARY
