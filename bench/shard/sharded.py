# SPDX-License-Identifier: MIT
# What the parts of sharded training share: one run of the workload, kept so that it is not made again; ratios of paired rounds. It
# judges nothing.
import json, os, re, statistics, time
from context import MIB, OK, UNFINISHED, WRONG, TimeOver, last_line, load

CPU_MODEL = ["--preset", "tiny"]
PROFILE = re.compile(r"^\[Profile\] Rank (\d+) ([a-z ]+): (?:(\d+), total )?([\d.]+) ms(?:, average ([\d.]+) ms)?$", re.M)
KEPT = ("world_size", "norm_timing", "mode", "dtype", "optimizer", "semantics", "parameters", "all_gathers", "all_gather_bytes",
        "reduce_scatters", "reduce_scatter_bytes", "ranks", "median_time_ms", "min_time_ms", "times_ms", "losses", "device_name", "config")


class Cell:
    """What all modes of a comparison have alike."""

    def __init__(self, preset, T, B, dtype="bf16", optimizer="adam"):
        self.preset, self.T, self.B, self.dtype, self.optimizer = preset, T, B, dtype, optimizer

    def name(self):
        return f"{self.preset} T {self.T} B {self.B}"

    def label(self):
        return f"{self.preset}-t{self.T}-b{self.B}-{self.optimizer}"

    def flags(self):
        return ["--preset", self.preset, "--seq-len", str(self.T), "--batch-size", str(self.B), "--dtype", self.dtype]


def cells(context, wanted):
    """On a CPU one that is small, with as many samples."""
    if context.cuda:
        return wanted
    small = {min(c.B, 2): Cell("tiny", 32, min(c.B, 2), "fp32", c.optimizer) for c in wanted}
    return list(small.values())


class Runs:
    """Runs of the workload, each once, by name; one that failed is not made again by this call, but by the next."""

    def __init__(self, context):
        self.context, self.failed = context, {}
        os.makedirs(context.work, exist_ok=True)

    def keep(self, name, result):
        path = os.path.join(self.context.work, name + ".json")
        with open(path + ".new", "w") as f:
            json.dump(result, f)
        os.replace(path + ".new", path)

    def command(self, name, what, flags):
        """(command, file its results go to)"""
        raw = os.path.join(self.context.work, name + ".raw")
        if os.path.exists(raw):
            os.unlink(raw)
        return [self.context.tool + "-workload", what, "--device", self.context.options.device, *flags, "--results", raw], raw

    def known(self, name):
        path = os.path.join(self.context.work, name + ".json")
        return load(path) if os.path.exists(path) else self.failed.get(name)

    def done(self, name, status, output, raw, seconds, keys=None, expected=0, more=None):
        r = load(raw) if os.path.exists(raw) else {}
        r = {k: r[k] for k in keys or r if k in r}
        r.update(more or {}, ok=status == 0, status=status, seconds=seconds, reason="" if status == 0 else reason(output))
        r["profile"] = [{"rank": int(m[1]), "what": m[2], "count": int(m[3] or 1), "ms": float(m[4])} for m in PROFILE.finditer(output)]
        if os.path.exists(raw):
            os.unlink(raw)
        with open(os.path.join(self.context.work, name + ".txt"), "w") as f:
            f.write(output)
        if status == expected:
            self.keep(name, r)
        else:
            self.failed[name] = r
        return r

    def workload(self, name, what, flags, limit=180, env=None, keys=None):
        r = self.known(name)
        if r is None:
            command, raw = self.command(name, what, flags)
            began = time.monotonic()
            status, output = self.context.run(command, limit=limit, env=env)
            r = self.done(name, status, output, raw, time.monotonic() - began, keys)
        return r

    def train(self, name, ranks, cell, mode, more=(), steps=None, env=None):
        """One run of `train --shard`."""
        n, warm_up = steps or ((5, 2) if self.context.cuda else (3, 1))
        return self.workload(name, "train", ["--shard", "--nproc", str(ranks), *cell.flags(), "--optimizer", cell.optimizer, "--mode", mode,
                                             "--num-iter", str(n), "--warmup-iter", str(warm_up), *more], env=env, keys=KEPT)


def reason(output):
    """Why the job ended rather than how its launcher did, or its verdict."""
    lines = output.splitlines()
    told = [x for x in lines if "the job ends" in x] or [x for x in lines if x.startswith("rank ")]
    return told[0] if told and not (last_line(output).endswith("TEST FAILED") and "the job ends" not in told[0]) else last_line(output)


class Paired:
    """Rounds of runs that take turns, another one first each time: ratios of one round, never across rounds."""

    def __init__(self, names, measure):
        """measure(name, round): a result of Runs."""
        self.names, self.measure, self.of = list(names), measure, {n: {} for n in names}

    def round(self, r):
        turn = r % len(self.names)
        for name in self.names[turn:] + self.names[:turn]:
            self.of[name][r] = self.measure(name, r)

    def first(self, name):
        """A result of any round that failed, or else of the first."""
        found = sorted(self.of[name].items())
        return next((x for _, x in found if not x["ok"]), found[0][1] if found else None)

    def ms(self, name):
        times = [x["median_time_ms"] for x in self.of[name].values() if x["ok"]]
        return statistics.median(times) if times else None

    def ratio(self, name, base):
        """(median over rounds, least, largest), or None."""
        both = [x["median_time_ms"] / self.of[base][r]["median_time_ms"] for r, x in self.of[name].items()
                if x["ok"] and r in self.of[base] and self.of[base][r]["ok"]]
        return (statistics.median(both), min(both), max(both)) if both else None

    def peak(self, name):
        found = [k["peak_bytes"] for x in self.of[name].values() if x["ok"] for k in x["ranks"]]
        return max(found) / MIB if found else None


def in_time(jobs):
    """Does all of these (functions) until the time is over; whether all were done."""
    try:
        for job in jobs:
            job()
    except TimeOver:
        return False
    return True


def verdict(context, verdicts, what, value, most=None, least=None, unit=""):
    """Of a number with a limit. Not met and not missed: value None, which is not known, and all numbers of a CPU."""
    limit = f"<= {most:g}" if most is not None else f">= {least:g}"
    met = None if value is None or not context.cuda else value <= most if most is not None else value >= least
    text = "not known" if value is None else f"{value:.3f}{unit}"
    verdicts.append({"what": what, "value": value, "most": most, "least": least, "met": met})
    context.say(f"{'-' if met is None else 'met' if met else 'MISSED':<8}{what}: {text}, {limit}{unit}"
                + ("" if context.cuda else " (no target of a CPU)"))


def outcome(finished, verdicts, failed):
    """(status of the part, words about it)"""
    missed = sum(v["met"] is False for v in verdicts)
    judged = [v["met"] for v in verdicts if v["met"] is not None]
    words = [f"{sum(judged)} of {len(judged)} targets met"] if judged else []
    words = ", ".join(words + ([f"{failed} runs failed"] if failed else []) + ([] if finished else ["the time was over"])) or "measured"
    return (WRONG if missed or failed else OK if finished else UNFINISHED), words
