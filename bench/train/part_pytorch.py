# SPDX-License-Identifier: MIT
# Parts agree, parity and eager of run.py: which cases of modes_agree.py, parity.py and against_eager.py run, and what they came to.
import os, subprocess
from context import OK, SKIPPED, UNFINISHED, WRONG, TimeOver, load

HERE = os.path.dirname(os.path.abspath(__file__))
# Item by item: DP overhead over our own vanilla (bf16), the fork's step (fp32, SGD), and vanilla beside eager in fp32.
CELLS = ("gpt2-large:bf16:adam:auto+fuse_bk+ghost_bk+micro,lm-20x2048:bf16:adam:auto,gpt2-large:fp32:sgd,gpt2-large:fp32:adam:vanilla,"
         "llama-3.2-1b:bf16:adam:auto,lm-20x2048:fp32:adam:vanilla")
QUICK_CELLS = "gpt2-large:bf16:adam:auto,lm-20x2048:bf16:adam:auto,gpt2-large:fp32:sgd:auto+explicit"
CPU_CELLS = "tiny:fp32:adam:auto"


def has_torch(context):
    command = [context.options.python, "-c", "import torch, sys; sys.exit(not torch.cuda.is_available())" if context.cuda else "import torch"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def script(context, name, *flags):
    """(exit status, what it left as JSON or None); its words are the part's."""
    out = os.path.join(context.out, context.part + ".json")
    status, output = context.run([context.options.python, "-B", os.path.join(HERE, name), "--build", context.options.build, "--device",
                                  context.options.device, "--out", out, *flags], least=10)
    for line in output.rstrip().splitlines():
        context.say(line)
    return status, load(out) if os.path.exists(out) else None


def agree(context):
    lengths = ["--seq-lens", "129"] if context.quick else []
    small = [] if context.cuda else ["--dtypes", "fp32", "--seq-lens", "33"]
    jobs = ["--jobs", "6"] if context.cuda else []
    status, r = script(context, "modes_agree.py", "--time-budget", str(max(context.left() - 10, 1)), *lengths, *small, *jobs)
    count = lambda what: sum(x["status"] == what for x in r["runs"])
    if not r:
        return WRONG, f"modes_agree.py ended with {status}"
    summary = f"{count('ok')} of {len(r['runs'])} runs agree with explicit, {count('wrong')} wrong"
    if status:
        return WRONG, summary
    return (UNFINISHED if count("not run") else OK), summary


def parity(context):
    if not has_torch(context):
        return SKIPPED, f"{context.options.python} has no PyTorch that can use {context.options.device}"
    cases = ["--configs", "lm,llama", "--dtypes", "fp32,bf16"] if context.quick else ["--configs", "tiny,lm,lm-one-sample,llama"]
    small = [] if context.cuda else ["--configs", "tiny", "--dtypes", "fp32"]
    status, r = script(context, "parity.py", "--python", context.options.python, "--jobs", "4" if context.cuda else "1", *cases, *small)
    if not r:
        return WRONG, f"parity.py ended with {status}"
    same = sum(x.get("agrees", False) for x in r["comparisons"])
    return WRONG if status else OK, f"{same} of {len(r['comparisons'])} comparisons agree with PyTorch"


def eager(context):
    if not has_torch(context):
        return SKIPPED, f"{context.options.python} has no PyTorch that can use {context.options.device}"
    if context.left() < 30:
        raise TimeOver
    cells = CPU_CELLS if not context.cuda else QUICK_CELLS if context.quick else CELLS
    flags = ["--python", context.options.python, "--cells", cells, "--commit", context.options.commit, "--timeout", "120"]
    flags += ["--num-iter", "3", "--warmup-iter", "1"] if context.quick or not context.cuda else []
    left = lambda: ["--time-budget", str(max(context.left() - 15, 1))]
    status, r = 0, None
    for rounds in ("1",) if context.quick else ("1", "3"):  # every cell has a number early
        context.lines.clear()
        status, r = script(context, "against_eager.py", *flags, "--rounds", rounds, *left())
        if not r or not r["finished"]:
            break
    if not r:
        return WRONG, f"against_eager.py ended with {status}"
    met = [v["met"] for v in r["verdicts"]]
    failed = sum(x["status"] != "ok" for x in r["runs"])
    summary = f"{met.count(True)} targets met, {met.count(False)} not met, {met.count(None)} without a verdict" \
        + (f", {failed} runs failed" if failed else "")
    if met.count(False) or failed:
        return WRONG, summary
    return (OK if r["finished"] else UNFINISHED), summary

