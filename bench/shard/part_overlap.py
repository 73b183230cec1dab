# SPDX-License-Identifier: MIT
# Part overlap of run.py: recordings of all ranks with their kernels: how much of communication ran beside compute, what the collectives
# made of the links, who came last; and what recording costs. The recordings stay (overlap/*.db), for `vramscope plot`.
import os
from sharded import Cell, Paired, Runs, cells, in_time, outcome, verdict

CELL, OVERHEAD_CELL = Cell("gpt2-large", 4096, 4), Cell("gpt2-large", 1024, 4)
STEPS, WARM_UP, LEAST, LIMIT_S = 3, 1, 90.0, 240
BY_STEP = """SELECT rank, iteration, (end_ns - begin_ns) / 1e6 AS step_ms, compute_ns / 1e6 AS compute_ms, communication_ns / 1e6 AS
 communication_ms, hidden_ns / 1e6 AS hidden_ms, exposed_ns / 1e6 AS exposed_ms, idle_ns / 1e6 AS idle_ms, hidden_percent
 FROM step_overlap WHERE iteration IS NOT NULL ORDER BY rank, iteration"""
BY_SIZE = """SELECT op, bytes, calls, incomplete, median_skew_ns / 1e3 AS median_skew_us, max_skew_ns / 1e3 AS max_skew_us,
 median_duration_ns / 1e3 AS median_us, duration_ns / 1e6 AS all_ms, median_bus_gbps AS bus_gbps FROM collective_by_size ORDER BY op, bytes"""
STRAGGLERS = """SELECT rank, collectives, last, late_ns / 1e6 AS late_ms, max_late_ns / 1e6 AS max_late_ms, median_step_ns / 1e6 AS
 median_step_ms FROM straggler ORDER BY rank"""
WHOLE = """SELECT (SELECT COUNT(*) FROM process) AS ranks, (SELECT COUNT(*) FROM kernel) AS kernels, (SELECT COUNT(*) FROM collective_match)
 AS collectives, (SELECT COUNT(*) FROM collective_match WHERE duration_ns IS NULL) AS incomplete, (SELECT IFNULL(SUM(count), 0) FROM loss) AS lost"""


def flags_of(ranks, cell, mode, steps, warm_up):
    return ["--shard", "--nproc", str(ranks), *cell.flags(), "--optimizer", cell.optimizer, "--mode", mode, "--num-iter", str(steps),
            "--warmup-iter", str(warm_up)]


def show(columns, rows, context):
    text = lambda v: "-" if v is None else f"{v:.2f}" if isinstance(v, float) else str(v)
    table = [columns] + [[text(r[c]) for c in columns] for r in rows]
    width = [max(len(line[i]) for line in table) + 2 for i in range(len(columns))]
    for line in table:
        context.say("  " + "".join(f"{cell:>{w}}" for cell, w in zip(line, width)))


def hidden(steps):
    """{rank: (percent hidden, exposed ms of a step)} of its timed steps, each rank's together."""
    of = {}
    for s in steps:
        if s["iteration"] >= WARM_UP:
            of.setdefault(s["rank"], []).append(s)
    total = lambda rows, key: sum(r[key] for r in rows)
    return {rank: (100 * total(rows, "hidden_ms") / total(rows, "communication_ms") if total(rows, "communication_ms") else None,
                   total(rows, "exposed_ms") / len(rows)) for rank, rows in of.items()}


def record(context, ranks, cell, mode, found):
    status, r, output = context.one(mode, flags_of(ranks, cell, mode, STEPS, WARM_UP) + ["--trace", "kernels"], limit=LIMIT_S)
    if status or not r:
        found[mode] = {"failed": f"status {status}: {output.strip()[-400:]}"}
        return
    db = os.path.join(context.work, mode + ".db")
    found[mode] = {"database": os.path.relpath(db, context.out), "bytes": os.path.getsize(db), "median_time_ms": r["median_time_ms"],
                   "whole": context.query(db, WHOLE)[0], "steps": context.query(db, BY_STEP), "sizes": context.query(db, BY_SIZE),
                   "stragglers": context.query(db, STRAGGLERS)}


def show_recording(context, mode, x, verdicts):
    """Whether it is whole."""
    if "failed" in x:
        context.say(f"{mode}: FAILED: {x['failed']}")
        return False
    w = x["whole"]
    context.say(f"{mode}: {w['ranks']} ranks, {w['kernels']} kernels, {w['collectives']} collectives matched ({w['incomplete']} incomplete), "
                f"{w['lost']} records lost; {x['median_time_ms']:.2f} ms a step; {x['database']}, {x['bytes'] / 2**20:.1f} MiB")
    if x["steps"]:
        show(("rank", "iteration", "step_ms", "compute_ms", "communication_ms", "hidden_ms", "exposed_ms", "idle_ms", "hidden_percent"),
             x["steps"], context)
    show(("op", "bytes", "calls", "incomplete", "median_skew_us", "max_skew_us", "median_us", "all_ms", "bus_gbps"),
         x["sizes"], context)
    show(("rank", "collectives", "last", "late_ms", "max_late_ms", "median_step_ms"), x["stragglers"], context)
    shares = hidden(x["steps"])
    if shares:
        context.say("  exposed, mean of the timed steps: " + ", ".join(f"rank {k} {v[1]:.2f} ms" for k, v in shares.items()))
    known = [v[0] for v in shares.values() if v[0] is not None]
    verdict(context, verdicts, f"{mode}: communication hidden behind compute, of the rank with least", min(known, default=None), least=LEAST,
            unit=" %")
    context.say()
    return w["incomplete"] == 0 and w["lost"] == 0


def recorded(context, ranks, cell, level, r):
    """As Runs.train, but recorded; only its result stays."""
    n, warm_up = (5, 2) if context.cuda else (3, 1)
    label = f"overhead-{level}-{r}"
    status, result, output = context.one(label, flags_of(ranks, cell, "ghost_bk", n, warm_up) + ["--trace", level], limit=LIMIT_S)
    for suffix in (".db", ".db-wal", ".db-shm"):
        path = os.path.join(context.work, label + suffix)
        if os.path.exists(path):
            os.unlink(path)
    return {**(result or {}), "ok": status == 0 and result is not None, "reason": output.strip()[-200:]}


def show_overhead(context, ranks, cell, paired):
    if not paired.ms("bare"):
        return None
    context.say(f"what recording costs: {cell.name()}, ghost_bk, {ranks} ranks, rounds that take turns: {len(paired.of['bare'])}; "
                "ms of the slowest rank")
    rows = {}
    for name in paired.names:
        ratio = paired.ratio(name, "bare")
        rows[name] = {"ms": paired.ms(name), "ratio": ratio}
        context.say(f"  {name:<10}" + (f"{paired.ms(name):>10.2f}{ratio[0]:>8.3f} ({ratio[1]:.3f}-{ratio[2]:.3f})" if ratio else "  not known"))
    return rows


def run(context):
    ranks = context.options.worlds[-1]
    cell, small = cells(context, [CELL])[0], cells(context, [OVERHEAD_CELL])[0]
    runs, found, verdicts = Runs(context), {}, []
    measure = lambda name, r: runs.train(f"bare-{r}", ranks, small, "ghost_bk") if name == "bare" else recorded(context, ranks, small, name, r)
    paired = Paired(["bare", "memory", "kernels"], measure)
    jobs = [lambda m=m: record(context, ranks, cell, m, found) for m in (("ghost_bk",) if context.quick else ("ghost_bk", "vanilla"))]
    jobs += [lambda r=r: paired.round(r) for r in range(0 if context.quick and context.cuda else 1 if not context.cuda else 3)]
    finished = in_time(jobs)
    context.say(f"{cell.name()} per GPU, {cell.dtype}, {ranks} ranks, {STEPS} steps after {WARM_UP}; communication: NCCL's kernels, waiting for "
                "others included")
    whole = [show_recording(context, mode, x, verdicts) for mode, x in found.items()]
    if not context.cuda:
        context.say("ranks on a CPU have no kernels: their collectives are calls, and hide nothing")
    overhead = show_overhead(context, ranks, small, paired)
    context.keep({"ranks": ranks, "cell": vars(cell), "recordings": found, "overhead": overhead, "verdicts": verdicts})
    failed = whole.count(False) + sum(not x["ok"] for rounds in paired.of.values() for x in rounds.values())
    return outcome(finished, verdicts, failed)
