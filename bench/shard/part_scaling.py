# SPDX-License-Identifier: MIT
# Part scaling of run.py: the same work per GPU on more and more GPUs, vanilla and the best DP mode. Efficiency is the time of one rank over
# the time of n, both sharded, in rounds that take turns.
from context import SKIPPED
from sharded import Cell, Paired, Runs, cells, in_time, outcome, verdict

JUDGED = ("gpt2-large", 4096, 4)
LEAST = 0.95


def plan(context):
    """(cell, modes, rounds), the judged one first."""
    many, one = ["vanilla", "ghost_bk"], ["vanilla", "fuse"]
    wanted = [(Cell(*JUDGED), many, 1 if context.quick else 2)]
    if not context.quick:
        wanted += [(Cell("gpt2-large", 1024, 4), many, 1), (Cell("llama-3.2-1b", 4096, 1), one, 1)]
    if context.cuda:
        return wanted
    return [(cell, many if cell.B > 1 else one, 1) for cell in cells(context, [w[0] for w in wanted])]


def judged(cell):
    return (cell.preset, cell.T, cell.B) == JUDGED


def show(context, cell, modes, worlds, paired, verdicts):
    rows = []
    context.say(f"{cell.name()} per GPU, {cell.dtype}, {cell.optimizer}; ms of the slowest rank; efficiency: one rank's time over it")
    context.say(f"  {'mode':<10}{'ranks':>6}{'ms':>10}{'efficiency':>12}{'least':>8}{'most':>8}{'peak MiB':>10}{'tokens/s':>12}")
    for mode in modes:
        for n in worlds:
            r, ms = paired.first((mode, n)), paired.ms((mode, n))
            if r is None:
                continue
            slower = paired.ratio((mode, n), (mode, 1))  # its inverse is the efficiency
            efficiency = tuple(1 / slower[i] for i in (0, 2, 1)) if slower else None
            rows.append({"mode": mode, "ranks": n, "ms": ms, "efficiency": efficiency, "ok": r["ok"], "reason": r["reason"]})
            if ms is None:
                context.say(f"  {mode:<10}{n:>6}  FAILED: {r['reason'][:130]}")
                continue
            of = "".join(f"{x:>{w}.3f}" for x, w in zip(efficiency, (12, 8, 8))) if efficiency else f"{'-':>28}"
            context.say(f"  {mode:<10}{n:>6}{ms:>10.2f}{of}{paired.peak((mode, n)):>10.0f}{n * cell.B * cell.T / ms * 1e3:>12.0f}")
    if judged(cell) or not context.cuda:
        for mode in modes:
            found = [r["efficiency"][0] for r in rows if r["mode"] == mode and r["efficiency"] and r["ranks"] > 1]
            verdict(context, verdicts, f"{cell.name()}, {mode}: least efficiency at {' and '.join(map(str, worlds[1:]))} ranks",
                    min(found, default=None), least=LEAST)
    context.say()
    return {"cell": vars(cell), "rows": rows}


def run(context):
    worlds = context.options.worlds
    if len(worlds) < 2:
        return SKIPPED, "one GPU: nothing scales"
    if context.quick:
        worlds = [worlds[0], worlds[-1]]
    runs, verdicts, todo, jobs = Runs(context), [], plan(context), []
    paired = []
    for cell, modes, rounds in todo:
        names = [(mode, n) for mode in modes for n in worlds]
        measure = lambda name, r, cell=cell: runs.train(f"{name[1]}-{cell.label()}-{name[0]}-{r}", name[1], cell, name[0])
        paired.append(Paired(names, measure))
        jobs += [(r, lambda p=paired[-1], r=r: p.round(r)) for r in range(rounds)]
    finished = in_time([job for _, job in sorted(jobs, key=lambda x: x[0])])
    tables = [show(context, cell, modes, worlds, p, verdicts) for (cell, modes, _), p in zip(todo, paired)]
    context.keep({"tables": tables, "verdicts": verdicts})
    return outcome(finished, verdicts, len(runs.failed))
