"""opsched and its peers, in turn, on one PostgreSQL (and one Redis for those that need it).

    python -m benchmarks.peers [--jobs 100000] [--rounds 3] [--only pgqueuer,oban] [--python .venv-peers/bin/python]

For each peer: submit one by one, submit many, drain with one and two worker processes, start of an idle worker. Each
round measures the peer and then opsched, so that noise meets both, and the ratio is taken within the round. Single
submissions go in turns of a second, and before the drains, so that no vacuum after a drain of 100,000 jobs meets one
side alone. A drain counts from the first job's start until the last is recorded as done; a peer's worker waits for a
word when it has imported everything. A peer that is slow gets fewer jobs. Needs redis-server, and the peers
(`make peers`).
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import flow
from benchmarks.ground import ROOT, prepared, query
from benchmarks.peers import ground
from benchmarks.peers.ground import PEERS, Peer, Team, open_peer, redis_server
from benchmarks.report import Row, finish, say, spread

__all__: list[str] = []

BATCHES = (200, 500, 1_000)
ONE_BY_ONE = 500
WARM = 50
TURNS = 4
STARTS = 200
GAP = 0.06


@dataclass(slots=True, kw_only=True)
class Pair:
    """The same thing measured for the peer and for opsched, round by round."""

    peer: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def ratios(self) -> list[float]:
        return [mine / its for its, mine in zip(self.peer, self.ours, strict=True)]


def rounds(team: Team, jobs: int, times: int) -> dict[str, Pair]:
    pairs: dict[str, Pair] = {}
    count = max(1_000, int(jobs * team.peer.share) // 1_000 * 1_000)
    if team.peer.name == "pgqueuer":
        team.batch = best_batch(team, min(count, 20_000))
    for number in range(times):
        ones = one_by_one(team)
        pairs.setdefault("one", Pair()).peer.append(ones[0])
        pairs["one"].ours.append(ones[1])
        for name, value in measured_peer(team, count).items():
            pairs.setdefault(name, Pair()).peer.append(value)
        for name, value in measured_ours(jobs).items():
            pairs.setdefault(name, Pair()).ours.append(value)
        say(
            team.peer.name,
            f"round {number + 1}",
            {n: (p.peer[-1], p.ours[-1]) for n, p in pairs.items()},
        )
    return pairs


def best_batch(team: Team, count: int) -> int:
    found = {}
    for batch in BATCHES:
        team.batch = batch
        team.run("bulk", count)
        found[batch] = ground.drained(team, 1, count)
    say("pgqueuer by batch, jobs/s:", found)
    return max(found, key=lambda batch: found[batch])


def one_by_one(team: Team) -> tuple[float, float]:
    """Both in turns, the peer first; jobs per second. Then what they left is run."""
    spent, rates = 0.0, []
    for _ in range(TURNS):
        spent += team.run("one", ONE_BY_ONE, WARM)
        flow.enqueue_one(WARM)
        rates.append(flow.enqueue_one(ONE_BY_ONE))
    ground.drained(team, 1, TURNS * (ONE_BY_ONE + WARM))
    flow.drain(1)
    return TURNS * ONE_BY_ONE / spent, statistics.harmonic_mean(rates)


def measured_peer(team: Team, count: int) -> dict[str, float]:
    figures = {"bulk": count / team.run("bulk", count)}
    figures["drain_1"] = ground.drained(team, 1, count)
    team.run("bulk", count)
    figures["drain_2"] = ground.drained(team, 2, count)
    late = ground.latencies(team, STARTS, GAP)
    return figures | {"start_p50": flow.percentile(late, 0.5), "start_p99": flow.percentile(late, 0.99)}


def measured_ours(jobs: int) -> dict[str, float]:
    figures = {"bulk": flow.enqueue_bulk(jobs, batch=10_000)}
    figures["drain_1"] = flow.drain(1).rate
    flow.enqueue_bulk(jobs)
    figures["drain_2"] = flow.drain(2).rate
    late = flow.start_latency(STARTS, gap=GAP).late
    # Each peer meets the same opsched: without the rows of the rounds before.
    query("TRUNCATE jobs_job, notifications_event CASCADE")
    return figures | {"start_p50": flow.percentile(late, 0.5), "start_p99": flow.percentile(late, 0.99)}


BARS = {
    # what: (bar for pgqueuer, for other peers on PostgreSQL, for peers on Redis)
    "drain_1": (None, 1.0, 1.0),
    "drain_2": (1.3, 1.0, 1.0),
    "bulk": (None, None, None),
    "one": (1.0, 1.0, None),
}
WORDS = {
    "drain_1": "drain, 1 worker",
    "drain_2": "drain, 2 workers",
    "bulk": "submit many",
    "one": "submit one by one",
}


def rows_of(peer: Peer, pairs: dict[str, Pair]) -> list[Row]:
    rows = []
    column = 0 if peer.name == "pgqueuer" else 2 if peer.redis else 1
    for name, words in WORDS.items():
        bar = BARS[name][column]
        ratios = pairs[name].ratios()
        its, mine = (round(statistics.median(side)) for side in (pairs[name].peer, pairs[name].ours))
        rows.append(
            Row(
                what=f"{words}, times {peer.name}",
                figure=f"{spread(ratios)}: {mine:,} against {its:,} jobs/s",
                bar="" if bar is None else f"at least {bar:g}",
                met=None if bar is None else statistics.median(ratios) >= bar,
            )
        )
    p50, p99 = (statistics.median(pairs[name].peer) for name in ("start_p50", "start_p99"))
    rows.append(
        Row(what=f"start of an idle worker of {peer.name}, ms p50 / p99", figure=f"{p50:.1f} / {p99:.1f}")
    )
    return rows


def our_rows(found: dict[str, dict[str, Pair]]) -> list[Row]:
    """What opsched did beside all of them."""
    rows = []
    for name, limit in (("start_p50", 3.0), ("start_p99", 8.0)):
        values = [value for pairs in found.values() for value in pairs[name].ours]
        rows.append(
            Row(
                what=f"start of an idle worker of opsched, ms {name[-3:]}",
                figure=spread(values, digits=1),
                bar=f"at most {limit:g}",
                met=statistics.median(values) <= limit,
            )
        )
    bulk = [value for pairs in found.values() for value in pairs["bulk"].ours]
    rows.append(
        Row(
            what="submit many (10,000 a call), jobs/s",
            figure=spread(bulk, digits=0),
            bar="at least 60,000",
            met=statistics.median(bulk) >= 60_000,
        )
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000, help="a drain; slower peers get a share of it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PEERS), help="names, separated by commas")
    parser.add_argument("--python", default=str(ROOT / ".venv-peers" / "bin" / "python"))
    options = parser.parse_args()
    if not Path(options.python).exists():
        parser.error(f"{options.python} is missing: 'make peers' installs the peers")
    found: dict[str, dict[str, Pair]] = {}
    with prepared(), redis_server() as redis:
        for name in options.only.split(","):
            with open_peer(PEERS[name], options.python, redis) as team:
                found[name] = rounds(team, options.jobs, options.rounds)
    rows = [row for name, pairs in found.items() for row in rows_of(PEERS[name], pairs)]
    figures = {
        name: {what: {"peer": pair.peer, "opsched": pair.ours} for what, pair in pairs.items()}
        for name, pairs in found.items()
    }
    finish("peers", [*rows, *our_rows(found)], peers=figures)


if __name__ == "__main__":
    main()
