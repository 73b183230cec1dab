# SPDX-License-Identifier: MIT
# Part steps of run.py: sharded DP-SGD over our own sharded vanilla, in rounds that take turns, and beside the steps of a fork of Opacus
# under FSDP2 (fork_fsdp_2xh200.csv), which were measured elsewhere, once.
import csv, os
from context import SKIPPED
from sharded import Cell, Paired, Runs, cells, in_time, outcome, verdict

HERE = os.path.dirname(os.path.abspath(__file__))
MANY = "vanilla,ghost_bk,flash_bk,auto,ghost,flash,fuse,fuse_bk,explicit".split(",")
ONE = "vanilla,fuse,auto,flash_bk,flash".split(",")
QUICK = {"gpt2-large": MANY[:4], "llama-3.2-1b": ONE[:3]}
MOST = {True: 1.05, False: 1.30}  # one sample per rank or more: the best DP mode over vanilla
FORK = Cell("gpt2-large", 1024, 4, optimizer="sgd")


def plan(context):
    """(ranks, cell, modes), the most important first."""
    worlds = [n for n in context.options.worlds if n > 1]
    found = []
    for n in worlds[-1:] if context.quick else sorted(worlds, key=lambda n: (n != 2, -n)):
        for cell in cells(context, [Cell("gpt2-large", 1024, 4), Cell("llama-3.2-1b", 4096, 1)]):
            modes = ONE if cell.B == 1 else MANY
            found.append((n, cell, QUICK.get(cell.preset, modes) if context.quick else modes))
    return found


def fork_rows():
    with open(os.path.join(HERE, "fork_fsdp_2xh200.csv")) as f:
        return list(csv.DictReader(x for x in f if not x.startswith("#")))


def fork_wanted(context):
    rows = fork_rows()
    return [r for r in rows if r["ours"] in ("vanilla", "ghost_bk", "fuse_bk")] if context.quick else rows


def fork_jobs(context, runs, found):
    def one(row):
        cell = cells(context, [FORK])[0]
        name = f"fork-{row['ours']}-{row['timing']}"
        more = ["--norm-timing", row["timing"]] if row["timing"] != "usual" else []
        found[row["row"]] = runs.train(name, 2, cell, row["ours"], more)
    return [lambda row=row: one(row) for row in fork_wanted(context)]


def show_cell(context, n, cell, paired, verdicts):
    """A table of one comparison, and its target."""
    rounds = max((len(x) for x in paired.of.values()), default=0)
    if not rounds:
        return None
    context.say(f"{cell.name()} per GPU, {cell.dtype}, {cell.optimizer}, {n} ranks, {rounds} round{'s' if rounds > 1 else ''}; ms of the "
                "slowest rank; peak: tensors of the rank with most, MiB")
    context.say(f"  {'mode':<10}{'ms':>10}{'over vanilla':>14}{'least':>8}{'most':>8}{'peak':>10}{'tokens/s':>12}{'AG MiB':>9}{'RS MiB':>9}")
    best, rows = None, []
    for mode in paired.names:
        r, ms, ratio = paired.first(mode), paired.ms(mode), paired.ratio(mode, "vanilla")
        if r is None:
            continue
        rows.append({"mode": mode, "ms": ms, "ratio": ratio, "peak_mib": paired.peak(mode), "ok": r["ok"], "reason": r["reason"]})
        if ms is None:
            context.say(f"  {mode:<10}FAILED: {r['reason'][:140]}")
            continue
        good = next(x for x in paired.of[mode].values() if x["ok"])
        of = "".join(f"{x:>{w}.3f}" for x, w in zip(ratio, (14, 8, 8))) if ratio else f"{'-':>30}"
        context.say(f"  {mode:<10}{ms:>10.2f}{of}{paired.peak(mode):>10.0f}{n * cell.B * cell.T / ms * 1e3:>12.0f}"
                    f"{good['all_gather_bytes'] / 2**20:>9.0f}{good['reduce_scatter_bytes'] / 2**20:>9.0f}"
                    + ("" if r["ok"] else f"  a round FAILED: {r['reason'][:90]}"))
        if mode != "vanilla" and ratio and (best is None or ratio[0] < best[1]):
            best = (mode, ratio[0])
    verdict(context, verdicts, f"{cell.name()}, {n} ranks: best DP mode{' (' + best[0] + ')' if best else ''} over vanilla", best and best[1],
            most=MOST[cell.B == 1])
    context.say()
    return {"ranks": n, "cell": vars(cell), "rounds": rounds, "best": best, "modes": rows}


def show_fork(context, found, verdicts):
    if not found:
        return []
    cell = cells(context, [FORK])[0]
    context.say(f"beside the fork under FSDP2 on two H200 (quoted, rank 0, fork_fsdp_2xh200.csv): {cell.name()} per GPU, {cell.dtype} weights, "
                "float32 reduction, SGD, 2 ranks, one run each")
    context.say("  its _bk rows never reduce clipped gradients over ranks; ours do")
    context.say(f"  {'fork':<22}{'ms':>9}{'peak':>8}   {'ours':<20}{'ms':>9}{'peak':>8}{'fork/ours':>11}")
    rows = []
    for row in fork_wanted(context):
        r = found.get(row["row"])
        if r is None:
            continue
        name = row["ours"] + (f" {row['timing']}" if row["timing"] != "usual" else "")
        theirs = f"{row['row']:<22}{row['ms'] or 'fails':>9}{row['peak_mib'] or '-':>8}   {name:<20}"
        if not r["ok"]:
            context.say(f"  {theirs}FAILED: {r['reason'][:120]}")
        else:
            of = float(row["ms"]) / r["median_time_ms"] if row["ms"] else None
            peak = max(k["peak_bytes"] for k in r["ranks"]) / 2**20
            context.say(f"  {theirs}{r['median_time_ms']:>9.1f}{peak:>8.0f}" + (f"{of:>11.2f}" if of else f"{'-':>11}"))
            rows.append({"fork": row["row"], "fork_ms": row["ms"], "ours": name, "ms": r["median_time_ms"], "peak_mib": peak, "times_faster": of})
    compared = [r for r in rows if r["times_faster"]]
    verdict(context, verdicts, "every mode over the fork's, the least", min((r["times_faster"] for r in compared), default=None), least=1, unit=" x")
    context.say()
    return rows


def run(context):
    todo = plan(context)
    if not todo:
        return SKIPPED, "one GPU: nothing is sharded"
    runs, verdicts, fork = Runs(context), [], {}
    paired = []
    for n, cell, modes in todo:
        measure = lambda mode, r, n=n, cell=cell: runs.train(f"{n}-{cell.label()}-{mode}-{r}", n, cell, mode)
        paired.append(Paired(modes, measure))
    jobs = [lambda p=p: p.round(0) for p in paired] + fork_jobs(context, runs, fork)
    for r in range(1, 1 if context.quick or not context.cuda else 2):  # every cell has a number early
        jobs += [lambda p=p, r=r: p.round(r) for p in paired]
    finished = in_time(jobs)
    tables = [show_cell(context, n, cell, p, verdicts) for (n, cell, _), p in zip(todo, paired)]
    rows = show_fork(context, fork, verdicts)
    context.keep({"tables": [t for t in tables if t], "fork": rows, "verdicts": verdicts})
    return outcome(finished, verdicts, len(runs.failed))
