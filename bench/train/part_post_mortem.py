# SPDX-License-Identifier: MIT
# Part post-mortem of run.py: options that make no sense, a step that cannot fit (which has to say what would), and suites of which one
# experiment fails while the others run. Memory is made short by another process that holds most of the GPU's.
import os, re, subprocess
from context import MIB, OK, WRONG, Verdicts, last_line, results_of

SUMMARY = re.compile(r"^  (\S+(?: T=\d+)?): (FAILED \(.*\)|Peak Memory.*)$", re.M)
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
SIZE = r"([\d.]+ [KMGT]?i?B)"
CANNOT = re.compile(rf"this needs {SIZE}, and {SIZE} are free; (--(?:batch-size|mode) \S+) needs {SIZE}")
SHORT = re.compile(rf"this needs {SIZE}, and {SIZE} are free")
HOLD = """import sys, torch
free, total = torch.cuda.mem_get_info()
held = torch.empty(max(free - int(sys.argv[1]), 1), dtype=torch.uint8, device="cuda")
print(f"holding {held.numel()} of {free} free bytes, {torch.cuda.mem_get_info()[0]} are left", flush=True)
sys.stdin.read()
"""
BAD = [("heads that do not divide", ["--num-heads", "7"], "does not divide"),
       ("longer than the preset", ["--seq-len", "1000000"], "longer than the preset's"),
       ("no such preset", ["--preset", "gpt5"], "there is no preset"),
       ("no such mode", ["--mode", "gohst"], "there is no mode")]
TRIED = "explicit,vanilla,flash"
BEYOND_MB = (16, 64, 160)
ENOUGH = 3 * 2**30  # for the context, libraries and their workspaces of the process that measures


def size(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


def bad_options(context, preset, verdicts):
    for what, flags, words in BAD:
        status, output = context.run([context.tool, "bench", "train", "--preset", preset, "--device", context.options.device,
                                      "-o", os.path.join(context.work, "bad.db"), "--force", *flags])
        verdicts.say(what, status == 2 and words in output, f"status {status}; {last_line(output)}")


def cannot_fit(context, preset, verdicts):
    batch = "512" if context.cuda else "1000000"
    status, r, _ = context.one("cannot-fit", ["--preset", preset, "--mode", "ghost", "--batch-size", batch, "--num-iter", "1"])
    reason = r["reason"] if r else "no result"
    m = CANNOT.search(reason)
    right = status == 1 and r and r["status"] == "failed" and m and size(m[1]) > size(m[2]) >= size(m[4])
    verdicts.say(f"cannot fit ({preset}, batch {batch}): refused before it asks, and says what would fit", right, f"status {status}; {reason}")


def suite_verdict(verdicts, what, status, run, failing, is_reason):
    """One of the suite's experiments failed with such a reason, all others ran, and the exit status says so."""
    with open(os.path.join(os.path.dirname(run), "suite.txt")) as f:
        told = SUMMARY.findall(f.read())
    failed = {name: words[len("FAILED ("):-1] for name, words in told if words.startswith("FAILED")}
    ran = [name for name, words in told if name not in failed]
    right = status == 1 and list(failed) == [failing] and is_reason(failed[failing]) and len(ran) == len(told) - 1 > 0
    right = right and sum(r["status"] == "ok" for r in results_of(run)) == len(ran)
    verdicts.say(what, right, f"status {status}; failed: {failed or 'none'}; ran: {', '.join(ran) or 'none'}")


def suite_beside(context, preset, verdicts):
    """explicit needs more than the others: a companion process leaves enough for them alone."""
    base = ["--preset", preset, "--dtype", "bf16", "--num-iter", "1", "--warmup-iter", "0"]
    _, run = context.suite("alone", TRIED, base)
    need = {r["experiment"]: r["arena"]["capacity_bytes"] for r in results_of(run)}
    others, explicit = max(need["vanilla"], need["flash"]), need["explicit"]
    if explicit - others < 2 * ENOUGH:
        verdicts.say("suite beside another process", False, f"explicit needs only {(explicit - others) / MIB:.0f} MiB more than the others")
        return
    leave = others + ENOUGH
    with subprocess.Popen([context.options.python, "-c", HOLD, str(leave)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as companion:
        try:
            words = companion.stdout.readline().strip()
            if not words:
                raise RuntimeError("the companion process: " + last_line(companion.stderr.read()))
            context.say(f"a companion process is {words} ({leave / 2**30:.1f} GiB asked to be left; explicit needs {explicit / 2**30:.1f})")
            status, run = context.suite("beside", TRIED, base)
        finally:
            companion.kill()
    suite_verdict(verdicts, "suite: explicit does not fit beside it, the others run", status, run, "explicit", SHORT.search)


def filled_up(context, preset, verdicts):
    """The arena fits, and takes what the driver needs later, for the first kernels: is memory out in the middle of a step? The arena is
    one allocation right after the prediction, and kernels are loaded by then, so that a size is expected to run or to be refused."""
    what = "memory filled to the last: explicit runs, is refused before it asks, or fails while the others run"
    steps = ["--preset", preset, "--dtype", "bf16", "--num-iter", "1", "--warmup-iter", "0"]
    alone = next(r for r in results_of(context.suite("alone", TRIED, steps)[1]) if r["experiment"] == "explicit")
    least = context.query(alone["database"], f"SELECT MIN(free_bytes) AS least FROM device_sample WHERE process_id = {alone['process_id']}")
    if not least or not least[0]["least"]:
        verdicts.say(what, False, "the recording has no sample of the device's free memory")
        return
    refused = False
    for beyond in BEYOND_MB:
        extra = ["--extra-mb", str(least[0]["least"] // MIB + beyond)]
        status, r, _ = context.one(f"filled-{beyond}", [*steps, "--mode", "explicit", *extra])
        context.say(f"explicit with {beyond} MiB more than it ever left free: status {status}; {(r or {}).get('reason') or 'it ran'}")
        if status and r and not SHORT.search(r["reason"]):
            status, run = context.suite("filled", TRIED, steps + extra)
            suite_verdict(verdicts, what, status, run, "explicit", lambda reason: reason and not SHORT.search(reason))
            return
        refused = bool(status and r)
        if status:
            break
    verdicts.say(what, refused, "every size ran until one was refused" if refused else "no size was refused")


def run(context):
    verdicts, preset = Verdicts(context), "gpt2-large" if context.cuda else "tiny"
    os.makedirs(context.work, exist_ok=True)
    bad_options(context, preset, verdicts)
    cannot_fit(context, preset, verdicts)
    if context.cuda:
        suite_beside(context, preset, verdicts)
        filled_up(context, preset, verdicts)
    else:
        status, folder = context.suite("lengths", "vanilla", ["--preset", preset, "--seq-len", "1000,32", "--num-iter", "1"])
        suite_verdict(verdicts, "suite: one length is refused, the other runs", status, folder, "vanilla T=1000",
                      lambda reason: "longer than the preset" in reason)
    context.keep(verdicts.all)
    right = verdicts.right()
    return OK if right == len(verdicts.all) else WRONG, f"{right} of {len(verdicts.all)} as they should be"
