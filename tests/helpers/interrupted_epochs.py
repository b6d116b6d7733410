"""An epoch that is interrupted and gone on with by other numbers of processes: what each sampler gives, counted."""

from contextlib import ExitStack
from unittest.mock import patch

from mmbert.data.loading.samplers import Seen

MODULES = tuple(f"mmbert.data.loading.{name}" for name in ("samplers", "block_order", "length_buckets"))


def places_of(make, rank, world, seen):
    """The places that one of several processes gets."""
    with ExitStack() as stack:
        for module in MODULES:
            stack.enter_context(patch(f"{module}.rank_and_world_size", lambda: (rank, world)))
        sampler = make()
        sampler.set_epoch(2)
        sampler.skip_once(*seen)
        return list(sampler)


def check_runs(make, count, runs, most_lost):
    """Runs that follow each other see no sample twice, and together all but a few.

    Args:
        make: gives a sampler.
        count: of the samples.
        runs: (processes, samples that each of them sees); the last one sees all that are left.
        most_lost: how many samples may be left out.
    """
    before, met = [], []
    for number, (world, samples) in enumerate(runs):
        shares = [places_of(make, rank, world, before) for rank in range(world)]
        assert len({len(share) for share in shares}) == 1
        seen = shares if number == len(runs) - 1 else [share[:samples] for share in shares]
        met += [place for share in seen for place in share if place >= 0]
        if before and before[-1].world == world:
            before[-1] = Seen(before[-1].samples + len(seen[0]), world)
        else:
            before.append(Seen(len(seen[0]), world))
    assert len(met) == len(set(met)) and set(met) <= set(range(count))
    assert len(met) >= count - most_lost
