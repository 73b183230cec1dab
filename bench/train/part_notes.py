# SPDX-License-Identifier: MIT
# Part notes of run.py: the table of the notes beside ours, in the form their scripts ran it: norms beside one ordinary backward pass,
# nothing clipped, no noise. Their numbers are quoted, ours are read from recordings; nobody wins here, and the reasons stand below.
from context import MIB, OK, WRONG, results_of, took
import breakdown

# One GPU of theirs, unnamed, fp32 without TF32; 20 x 2048, V 32000, T 16384, B 1. The first table is the notes', the second their
# memory_analysis.md: the same measured again, its vanilla with Adam.
THEIRS = {"vanilla": (43407.78, 7091.97), "ghost": (56992.12, 17489.43), "flash_clip": (56816.12, 7831.43)}
THEIRS_AGAIN = {"vanilla with Adam": (52347.0, 6727.0), "ghost": (56992.0, 17129.0), "flash_clip": (56816.0, 7489.0)}
STATELESS, STATEFUL = "vanilla", "vanilla with Adam"


def gather(context):
    """Results by row of the table."""
    base = ["--preset", "lm-20x2048" if context.cuda else "tiny", "--dtype", "fp32", "--norms-only", "--num-iter", "1",
            "--warmup-iter", "0" if context.quick else "1"]
    found = {}
    for label, experiments, more in (("stateless", "vanilla", ["--optimizer", "none"]), ("adam", "vanilla,ghost,flash_clip", [])):
        _, folder = context.suite(label, experiments, base + more)
        for r in results_of(folder):
            found[STATEFUL if r["experiment"] == "vanilla" and label == "adam" else r["experiment"]] = r
    return found


def line(name, pair, again, r, base):
    text = lambda p: f"{p[0]:>12.2f}{p[1]:>11.2f}" if p else f"{'-':>12}{'-':>11}"
    if r["status"] != "ok":
        return f"{name:<19}{text(pair)}{text(again)}  FAILED: {r['reason']}"
    of = f"{r['avg_time_ms'] / base['avg_time_ms']:>12.2f}" if base and base["status"] == "ok" else f"{'-':>12}"
    return f"{name:<19}{text(pair)}{text(again)}{r['peak_memory_mb']:>12.2f}{r['avg_time_ms']:>11.2f}{of}"


def why(N):
    gradient, states = 4 * N / MIB, 8 * N / MIB
    stateless, flash = (THEIRS[k][0] for k in ("vanilla", "flash_clip"))
    return [
        "Not like for like, theirs among themselves:",
        f"  their vanilla row has no Adam states: {stateless:.2f} + 8 N = {stateless + states:.2f} MB, which is their vanilla with Adam;",
        f"  ghost and flash_clip keep one zeroed gradient of 4 N through the next forward pass: {flash:.2f} - {gradient:.2f} = {flash - gradient:.2f} MB,",
        f"  the same again. So {flash - stateless:.2f} MB of flash_clip over vanilla are 12 N = {states + gradient:.2f} MB of states and a gradient.",
        "Theirs and ours: their GPU is not named; both fp32 without TF32; in both, norms are computed and nothing is clipped. Ours",
        "  frees gradients inside the step, computes the head's loss in chunks and keeps one arena; ours/vanilla is over vanilla with Adam.",
    ]


def run(context):
    found = gather(context)
    base = found.get(STATEFUL)
    N = breakdown.weights_of(next(iter(found.values()))["config"])
    c = next(iter(found.values()))["config"]
    context.say(f"the notes' table beside ours: {took(found.values())}; {c['num_layers']} x {c['hidden_dim']}, V {c['vocab_size']}, "
                f"T {c['seq_len']}, B {c['batch_size']}, fp32, norms only; {c['num_iter']} step after {c['warmup_iter']}"
                + ("" if context.cuda else "; OTHER SIZES THAN THEIRS"))
    context.say(f"{'':<19}{'notes: MB':>12}{'ms':>11}{'again: MB':>12}{'ms':>11}{'ours: MB':>12}{'ms':>11}{'ours/vanilla':>13}")
    for name in (STATELESS, STATEFUL, "ghost", "flash_clip"):
        if name in found:
            context.say(line(name, THEIRS.get(name), THEIRS_AGAIN.get(name), found[name], base))
    for text in why(N) if context.cuda else ["(the reasons are printed at their sizes)"]:
        context.say(text)
    rows = [breakdown.check(context, r) for r in found.values()]
    off = [f"{r['experiment']}: {x}" for r in rows for x in r["off"]]
    for text in off:
        context.say("OFF  " + text)
    keys = ("status", "reason", "peak_memory_mb", "avg_time_ms", "times_ms", "breakdown", "config", "optimizer", "semantics", "device_name")
    context.keep({"notes": THEIRS, "memory_analysis": THEIRS_AGAIN, "checks": rows,
                  "ours": {name: {k: r.get(k) for k in keys} for name, r in found.items()}})
    good = not off and len(found) == 4
    return OK if good else WRONG, f"{len(found)} of 4 rows, bytes {'exact' if not off else 'OFF'}"
