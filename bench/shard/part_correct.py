# SPDX-License-Identifier: MIT
# Part correct of run.py: `fsdp_norms --mode correctness` at every number of ranks, and that its faults are found. Runs stand beside each
# other on the same GPUs: nothing is timed.
import subprocess, tempfile, time
from context import OK, UNFINISHED, WRONG, TimeOver, end
from sharded import Runs

MODELS = {"lm": [], "llama": ["--llama"]}
SMALL = ["--vocab-size", "200", "--hidden-dim", "64", "--num-layers", "2", "--seq-len", "48"]
FAULTS = ("skip-collective", "scale", "swap-samples")
CHECKS = ("norms", "gradients", "weights", "timing")
BESIDE, LIMIT_S = 4, 150


def list_runs(context):
    """(name, ranks, model, dtype, samples of a rank, fault); one sample has a way of its own to be exchanged"""
    worlds = context.options.worlds
    dtypes = ("fp32", "bf16") if context.cuda else ("fp32",)
    if context.quick:
        tests = [(n, *x) for n in sorted({worlds[-1], worlds[-1] // 2 or 1}) for x in (("lm", "fp32", 4), ("llama", dtypes[-1], 4))]
        tests.append((worlds[-1], "lm", "fp32", 1))
    else:
        tests = [(n, m, d, B) for n in worlds for m in MODELS for d in dtypes for B in (4, 1)]
    faulty = sorted({worlds[-1]} | ({2} if not context.quick and worlds[-1] > 2 else set()))
    cases = [(*x, "none") for x in tests] + [(n, "lm", "fp32", 4, fault) for n in faulty for fault in FAULTS]
    return [("-".join(map(str, x)), *x) for x in cases]


def flags_of(context, n, model, dtype, B, fault):
    small = [] if context.cuda else SMALL
    return ["--mode", "correctness", "--nproc", str(n), "--dtype", dtype, "--batch-size", str(B), *MODELS[model], *small,
            *(["--fault", fault] if fault != "none" else [])]


def start(runs, case):
    command, raw = runs.command(case[0], "fsdp_norms", flags_of(runs.context, *case[1:]))
    output = tempfile.TemporaryFile("w+", errors="replace")
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    return {"name": case[0], "faulty": case[-1] != "none", "child": child, "output": output, "raw": raw, "began": time.monotonic()}


def finish(runs, job, status, words=""):
    job["output"].seek(0)
    text = job["output"].read() + words
    job["output"].close()
    more = {"last": next((x for x in reversed(text.splitlines()) if "TEST" in x), "no verdict"), "said": text if job["faulty"] else ""}
    runs.done(job["name"], status, text, job["raw"], time.monotonic() - job["began"], expected=int(job["faulty"]), more=more)


def look(runs, job):
    """Whether it still runs."""
    if job["child"].poll() is not None:
        finish(runs, job, job["child"].returncode)
    elif time.monotonic() - job["began"] > LIMIT_S:
        end(job["child"])
        finish(runs, job, 124, f"\nended after {LIMIT_S} s\n")
    else:
        return True
    return False


def run_all(runs, cases):
    """Some beside each other. Whether all were done."""
    waiting, running = [c for c in cases if runs.known(c[0]) is None], []
    try:
        while waiting or running:
            if runs.context.left() < 2:
                raise TimeOver
            while waiting and len(running) < (BESIDE if runs.context.cuda else 1):
                running.append(start(runs, waiting.pop(0)))
            running = [job for job in running if look(runs, job)]
            time.sleep(0.05)
    except TimeOver:
        return False
    finally:
        for job in running:
            end(job["child"])
            job["output"].close()
    return True


def judged(case, r):
    """(right, words)"""
    n, fault = case[1], case[-1]
    if fault == "none":
        right = r["ok"] and r.get("verdict") == "PASSED" and r.get("example", {}).get("right") is True
        return right, "passed" if right else f"status {r['status']}: {r['reason']}"
    found = not r["ok"] and r["status"] == 1 and r["last"] == "CORRECTNESS TEST FAILED"
    if fault == "skip-collective" and n > 1:  # ended by the watch, not by a rank that never began
        named = "the job ends" in r["said"] and f"rank {n - 1}" in r["said"]
    else:
        named = ": WRONG" in r["said"]
    return found and named, "found" if found and named else f"NOT FOUND: status {r['status']}, {r['last']}"


def show(context, cases, runs):
    context.say("norms, clipped gradients, weights after 3 steps (noise off and on; immediate, deferred, overlapped) against float64 on one rank;")
    context.say("largest relative errors, and how much is allowed; weights: of their change; a fault is of the last rank, right when it says FAILED")
    context.say(f"{'ranks':>5} {'model':<6} {'dtype':<5}{'B':>2} {'fault':<16}" + "".join(f"{k:>10} {'(most)':<8}" for k in CHECKS) + "    s  verdict")
    rows = []
    for case in cases:
        r = runs.known(case[0])
        if r is None:
            continue
        _, n, model, dtype, B, fault = case
        right, words = judged(case, r)
        found = {k: (r.get(k + "_error"), r.get(k + "_allowed")) for k in CHECKS}
        shown = "".join(f"{'-':>10}{'':9}" if e is None else f"{e:>10.1e} {f'({most:.2g})':<8}" for e, most in found.values())
        context.say(f"{n:>5} {model:<6} {dtype:<5}{B:>2} {fault:<16}{shown}{r['seconds']:>5.0f}  {'' if right else 'WRONG '}{words}")
        rows.append({"ranks": n, "model": model, "dtype": dtype, "B": B, "fault": fault, "right": right, "words": words, "status": r["status"],
                     "example": r.get("example"), "errors": {k: x[0] for k, x in found.items()}, "allowed": {k: x[1] for k, x in found.items()}})
    return rows


def run(context):
    runs, cases = Runs(context), list_runs(context)
    finished = run_all(runs, cases)
    rows = show(context, cases, runs)
    context.keep({"rows": rows})
    right = sum(r["right"] for r in rows)
    status = WRONG if right < len(rows) else OK if finished else UNFINISHED
    tests, worlds = sum(r["fault"] == "none" for r in rows), ", ".join(map(str, sorted({r["ranks"] for r in rows})))
    return status, f"{right} of {len(rows)} right: {tests} tests at {worlds} ranks, {len(rows) - tests} faults" \
        + ("" if finished else f"; {len(cases) - len(rows)} not done")
