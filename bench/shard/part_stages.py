# SPDX-License-Identifier: MIT
# Part stages of run.py: norms of shards by tensor in their stages, for each way to add them up over ranks, beside what the notes tell of
# eight A100.
from context import SKIPPED
from sharded import Runs, in_time, outcome

WAYS = ("sync", "async", "fp16")
STAGES = ("stack", "local", "all_reduce", "finish", "total")
NOTES = "0.12 stack, 0.08 local compute, 2.35 all-reduce, 0.05 final compute"
MODELS = [("gpt2-large", 4), ("llama-3.2-1b", 1)]


def run(context):
    worlds = [n for n in context.options.worlds if n > 1]
    if not worlds:
        return SKIPPED, "one GPU: nothing is sharded"
    runs, found = Runs(context), {}
    models = MODELS[:1] if context.quick else MODELS
    if not context.cuda:
        models = [("tiny", 2)]

    def measure(case):
        preset, B, n, way = case
        flags = ["--mode", "stages", "--nproc", str(n), "--preset", preset, "--batch-size", str(B), "--norm-allreduce", way]
        found[case] = runs.workload(f"{n}-{preset}-{way}", "fsdp_norms", flags, limit=60)
    finished = in_time([lambda case=(preset, B, n, way): measure(case) for preset, B in models for n in reversed(worlds) for way in WAYS])
    context.say("ms, medians of 100; parallel efficiency: one rank with the squares of all, over ranks x this one's time; error: against float64")
    context.say(f"  {'layers of':<14}{'B':>3}{'ranks':>6} {'add up':<7}{'rank':>5}{'stack':>9}{'local':>9}{'all-red.':>9}{'final':>9}{'total':>9}"
                f"{'effic.':>9}{'error':>9}  verdict")
    for (preset, B, n, way), r in found.items():
        for k in r.get("ranks", []):
            times = "".join(f"{k[s + '_ms']:>9.4f}" for s in STAGES)
            first = k["rank"] == 0
            context.say(f"  {preset:<14}{B:>3}{n:>6} {way:<7}{k['rank']:>5}{times}{100 * k['parallel_efficiency']:>7.1f} %"
                        + (f"{r['error']:>9.1e}  {r['verdict']}" if first and r.get("error") is not None else ""))
        if not r["ok"]:
            context.say(f"  {preset:<14}{B:>3}{n:>6} {way:<7} FAILED: {r['reason'][:120]}")
    context.say(f"the notes, eight A100: {NOTES} ms")
    context.keep({"notes": NOTES, "runs": [{**{k: v for k, v in r.items() if k != "profile"}, "preset": p, "batch_size": B}
                                           for (p, B, _, _), r in found.items()]})
    totals = [max(k["total_ms"] for k in r["ranks"]) for r in found.values() if r["ok"]]
    status, words = outcome(finished, [], len(runs.failed))
    return status, words + (f"; {min(totals):.3f} to {max(totals):.3f} ms in all" if totals else "")
