# SPDX-License-Identifier: MIT
# Part breakdown of run.py: suites of the modes, each result checked by breakdown.py; one more tensor of 8 MiB that has to show; and the
# names of the kernels that did the attention.
from context import MIB, OK, WRONG, results_of, took
import breakdown

EXTRA_MB = 8
STEPS = ["--num-iter", "2", "--warmup-iter", "1"]
ALL, LONG = "vanilla,explicit,ghost,flash_bk,micro,auto", "vanilla,auto"
GPU = [("gpt2-bf16", "gpt2-large", "bf16", ALL, "vanilla,ghost,micro,auto"), ("lm-bf16", "lm-20x2048", "bf16", LONG, LONG),
       ("gpt2-fp32", "gpt2-large", "fp32", ALL, "vanilla,flash_bk")]
CPU = [("tiny-fp32", "tiny", "fp32", ALL, LONG), ("tiny-fp64", "tiny", "fp64", "vanilla,explicit,micro", "vanilla")]
KERNELS = """SELECT name, SUM(count) AS count, SUM(total_ns) AS ns FROM kernel_summary WHERE name LIKE '%cudnn%'
 AND (name LIKE '%sdpa%' OR name LIKE '%fmha%' OR name LIKE '%flash%') GROUP BY name ORDER BY ns DESC"""
FORWARD, BACKWARD = ("fprop", "forward", "fwd"), ("bprop", "backward", "bwd")


def extra_tensor(context, preset, dtype):
    """The peak without and with one more tensor; they differ by its size, and it is there under its name."""
    peaks = []
    for label, more in (("without-extra", []), ("with-extra", ["--extra-mb", str(EXTRA_MB)])):
        status, r, output = context.one(label, ["--preset", preset, "--dtype", dtype, "--mode", "vanilla", *STEPS, *more])
        if status or not r:
            raise RuntimeError(f"vramscope bench train ({label}) ended with {status}: {output.strip()}")
        peaks.append(r["peak_bytes"])
    named = sum(c["bytes"] for c in r["components"] if c["name"] == "temporary/extra")
    right = peaks[1] - peaks[0] == EXTRA_MB * MIB == named
    context.say(f"--extra-mb {EXTRA_MB}: peak {peaks[0]} -> {peaks[1]} bytes, {(peaks[1] - peaks[0]) / MIB:g} MiB more; component "
                f"temporary/extra {named / MIB:g} MiB: {'exact' if right else 'OFF'}")
    return right, {"without": peaks[0], "with": peaks[1], "component": named}


def attention_kernels(context, preset):
    """cuDNN's fused attention, by the names and counts of the kernels that ran: one or more per layer and step, both ways."""
    status, r, output = context.one("kernels", ["--preset", preset, "--dtype", "bf16", "--mode", "vanilla", *STEPS, "--trace", "kernels"])
    if status or not r:
        raise RuntimeError(f"vramscope bench train --trace kernels ended with {status}: {output.strip()}")
    kernels = context.query(r["database"], KERNELS)
    least = r["config"]["num_layers"] * (r["config"]["num_iter"] + r["config"]["warmup_iter"])
    ran = lambda words: sum(k["count"] for k in kernels if any(w in k["name"].lower() for w in words))
    forward, backward = ran(FORWARD), ran(BACKWARD)
    right = r["attention_by"] == "cudnn" and forward >= least and backward >= least
    context.say(f"attention of {preset} in bf16 by {r['attention_by']}; recorded kernels of cuDNN's fused engine, {least} attentions each way:")
    for k in kernels:
        context.say(f"    {k['count']:>6} x {k['ns'] / k['count'] / 1e3:9.1f} us  {k['name'][:150]}")
    context.say(f"    forward {forward}, backward {backward}: {'proven' if right else 'NOT PROVEN'}")
    return right, {"attention_by": r["attention_by"], "attentions": least, "forward": forward, "backward": backward, "kernels": kernels}


def run(context):
    rows, device = [], ""
    for label, preset, dtype, full, quick in GPU if context.cuda else CPU:
        _, folder = context.suite(label, quick if context.quick else full, ["--preset", preset, "--dtype", dtype, *STEPS])
        results = results_of(folder)
        missing = set((quick if context.quick else full).split(",")) - {r["experiment"] for r in results}
        if missing:
            raise RuntimeError(f"{folder} has no result of {', '.join(sorted(missing))}")
        device = device or took(results)
        rows += [breakdown.check(context, r) for r in results]
    context.say(f"breakdown at the peak, {device}; MiB; after backward: bytes per weight N")
    for line in breakdown.table(rows):
        context.say(line)
    first = GPU[0] if context.cuda else CPU[0]
    extra, extra_result = extra_tensor(context, first[1], first[2])
    kernels, kernels_result = attention_kernels(context, first[1]) if context.cuda else (True, None)
    off = [r for r in rows if r["off"] and not r.get("too_large")]
    large = [r for r in rows if r.get("too_large")]
    context.keep({"device": device, "rows": rows, "extra": extra_result, "attention": kernels_result})
    context.say(f"{len(rows)} experiments, {sum(r['checks'] for r in rows)} checks of bytes, {len(off)} off"
                + (f", {len(large)} too large for this machine" if large else ""))
    good = not off and extra and kernels and len(large) < len(rows)
    return OK if good else WRONG, f"{len(rows) - len(off) - len(large)} of {len(rows)} breakdowns exact, extra tensor " \
        f"{'exact' if extra else 'OFF'}" + (f", attention by cuDNN {'proven' if kernels else 'NOT PROVEN'}" if context.cuda else "")
