# SPDX-License-Identifier: MIT
# Our training step beside eager PyTorch's of the same model, and each of our DP modes beside our own vanilla: one run, alternating,
# paired. Every measurement is a process of its own: `vramscope-workload train` or bench/train/eager.py.
#   python bench/train/against_eager.py --out train.json [--text train.txt] [--build build] [--rounds 3] [--time-budget SECONDS]
#          [--cells PRESET:DTYPE:OPTIMIZER[:MODE+MODE...],...] [--modes auto,fuse_bk,...] [--device cuda] [--commit HASH]
# A cell runs round by round, one process after another, in an order that turns from round to round. Cells come in the order given:
# the first matters most. --out is written after every process; the same command again goes on where it stopped (for a new
# machine, driver, commit or other sizes take a new --out). --time-budget: no process is started that may not end in time, none lives
# longer. --time-budget 0 starts nothing and prints what there is. First --rounds 1, then --rounds 3 gives every cell a number early.
# A ratio is the median over rounds of (one / other), both from the same round of the same slice of time; quartiles beside it.
# Eager Adam runs as fused and as foreach in the first round; the faster is the peer and goes on alone. bf16 has two peers: autocast
# (float32 weights, gradients and states, as ours) and pure (all bfloat16: less memory and less work, and another result).
# Times: median of a process' timed steps. Peaks: ours the arena's own count, eager's torch.cuda.max_memory_allocated.
# The fork's rows (bench/train/fork_steps_h200.csv) were measured on an H200; they are compared only there.
# Verdicts: target, measured, met or not; none where something was not measured. Exits 0 when all that was started ran.
import argparse, csv, datetime, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time

here = os.path.dirname(os.path.abspath(__file__))
PRECISIONS = {"fp32": ["fp32"], "tf32": ["tf32"], "bf16": ["bf16-autocast", "bf16-pure"], "fp64": ["fp64"]}
OPTIMIZERS = {"adam": ["adam-fused", "adam-foreach"], "sgd": ["sgd"], "none": ["none"]}
CELLS = ("lm-20x2048:bf16:adam,gpt2-large:bf16:adam,gpt2-large:fp32:sgd,lm-20x2048:fp32:adam:vanilla,llama-3.2-1b:bf16:adam,"
         "gpt2-large:fp32:adam:vanilla,llama-3.2-1b:fp32:adam:vanilla,gpt2-large:tf32:adam:vanilla")
FORK = {"no_dp_single": "vanilla", "grad_materialize": "explicit", "ghost": "ghost", "ghost_bk": "ghost_bk", "flash": "flash",
        "flash_bk": "flash_bk", "flash_fuse": "fuse", "flash_fuse_bk": "fuse_bk"}
FORK_CELL = "gpt2-large:fp32:sgd"
# The best private mode over our own vanilla: cell, what it is, most time, most memory.
OVERHEAD = [("lm-20x2048:bf16:adam", "B=1, T=16384", 1.05, 1.01), ("gpt2-large:bf16:adam", "B=4, T=1024", 1.30, 1.15)]
MIB = 2**20


def arguments():
    p = argparse.ArgumentParser(description="Our training step beside eager PyTorch's, alternating and paired.")
    p.add_argument("--out", required=True, help="JSON, written after every process and read when it is there")
    p.add_argument("--text", default="", help="file for the tables as well")
    p.add_argument("--build", default=os.path.join(here, "..", "..", "build"))
    p.add_argument("--python", default=sys.executable, help="one with PyTorch")
    p.add_argument("--cells", default=CELLS)
    p.add_argument("--modes", default="auto,fuse_bk,flash_bk,ghost_bk,fuse,flash,ghost,micro,explicit")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--num-iter", type=int, default=5)
    p.add_argument("--warmup-iter", type=int, default=2)
    p.add_argument("--noise", default="1.0", help="noise multiplier of the DP modes")
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    p.add_argument("--sizes", default="", help="as 'seq-len=64,num-layers=2', for both programs; no verdicts then")
    p.add_argument("--time-budget", type=float, default=None)
    p.add_argument("--timeout", type=float, default=300, help="seconds for one process")
    p.add_argument("--retry", action="store_true", help="run again what failed in an earlier slice")
    p.add_argument("--commit", default="", help="default: what git says")
    a = p.parse_args()
    a.modes, a.workload = a.modes.split(","), os.path.join(os.path.abspath(a.build), "bin", "vramscope-workload")
    a.cells = [parse_cell(p, c, a.modes) for c in a.cells.split(",")]
    if a.rounds < 1 or a.num_iter < 1 or a.warmup_iter < 0:
        p.error("--rounds and --num-iter must be 1 or more, --warmup-iter 0 or more")
    if len({c["name"] for c in a.cells}) < len(a.cells):
        p.error("--cells names a cell twice")
    if any("=" not in x for x in a.sizes.split(",") if x):
        p.error("--sizes is NAME=NUMBER,..., as in seq-len=64,num-layers=2")
    if a.time_budget != 0 and not os.access(a.workload, os.X_OK):
        p.error(f"there is no {a.workload}; build it (make), or say where with --build")
    return a


def parse_cell(p, text, modes):
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts) or parts[1] not in PRECISIONS or parts[2] not in OPTIMIZERS:
        p.error(f"--cells {text!r}: a cell is PRESET:DTYPE:OPTIMIZER or PRESET:DTYPE:OPTIMIZER:MODE+MODE; dtypes are "
                f"{', '.join(PRECISIONS)}, optimizers {', '.join(OPTIMIZERS)}")
    preset, dtype, optimizer, *more = parts
    wanted = more[0].split("+") if more else modes
    return {"name": f"{preset}:{dtype}:{optimizer}", "preset": preset, "dtype": dtype, "optimizer": optimizer,
            "modes": [m for m in dict.fromkeys(wanted) if m != "vanilla"]}


# ---- measuring ----

def say(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=here).stdout.strip()
    except OSError:
        return ""


def identity(a):
    gpu = say(["nvidia-smi", "--query-gpu=name,driver_version,power.limit", "--format=csv,noheader"]).splitlines()
    dirty = "-dirty" if say(["git", "status", "--porcelain", "--untracked-files=no"]) else ""
    commit = a.commit or (say(["git", "rev-parse", "--short", "HEAD"]) or "unknown") + dirty
    machine = gpu[0] if gpu and a.device == "cuda" else f"CPU, {os.cpu_count()} cores" if a.device == "cpu" else "no nvidia-smi"
    return {"machine": machine, "commit": commit, "device": a.device, "sizes": a.sizes, "num_iter": a.num_iter,
            "warmup_iter": a.warmup_iter, "noise": a.noise}


def load(a):
    fresh = {"identity": identity(a), "slices": [], "runs": []}
    if not os.path.exists(a.out) or not os.path.getsize(a.out):
        return fresh
    with open(a.out) as f:
        state = json.load(f)
    other = [f"{k} was {state['identity'][k]!r}, is {v!r}" for k, v in fresh["identity"].items() if state["identity"][k] != v]
    if other and a.time_budget != 0:
        sys.exit(f"against_eager: {a.out} is of another run ({'; '.join(other)}); take another --out")
    if a.retry:
        state["runs"] = [r for r in state["runs"] if r["status"] == "ok"]
    return state


def save(a, state):
    with open(a.out + ".new", "w") as f:
        json.dump(state, f, indent=1)
    os.replace(a.out + ".new", a.out)


def flags_of(a, cell):
    sizes = [x for pair in a.sizes.split(",") if pair for x in ("--" + pair.split("=")[0], pair.split("=")[1])]
    return ["--preset", cell["preset"], *sizes, "--device", a.device, "--num-iter", str(a.num_iter), "--warmup-iter", str(a.warmup_iter)]


def command_of(a, cell, who):
    if who.startswith("eager "):
        _, precision, optimizer = who.split()
        return [a.python, os.path.join(here, "eager.py"), "--precision", precision, "--optimizer", optimizer, *flags_of(a, cell)]
    private = ["--noise-multiplier", a.noise, "--max-grad-norm", "1.0"] if who != "vanilla" else []
    return [a.workload, "train", "--mode", who, "--dtype", cell["dtype"], "--optimizer", cell["optimizer"], *private, *flags_of(a, cell)]


def read_results(path, text, status):
    """What a process left: a run that is ok, or failed with a reason."""
    try:
        with open(path) as f:
            r = json.loads(f.read() or "{}")
    except (OSError, ValueError):
        r = {}
    one = r["runs"][0] if r.get("runs") else r
    reason = one.get("reason") or next((x for x in reversed(text.strip().splitlines()) if x.strip()), "no message")
    if status or one.get("status") != "ok" or not one.get("median_time_ms"):
        return {"status": "failed", "reason": f"{reason} (exit status {status})"[:300]}
    peak = one["peak_bytes"] if "peak_bytes" in one else (r.get("arena") or {}).get("peak_bytes")
    kept = {k: r[k] for k in ("semantics", "attention_by", "plan", "torch", "config", "parameters", "device_name") if k in r}
    return {"status": "ok", "ms": one["median_time_ms"], "min_ms": one.get("min_time_ms"), "times_ms": one.get("times_ms"),
            "peak_bytes": peak, "losses": one.get("losses"), **kept}


def measure(a, cell, who, seconds):
    """None when `seconds` were too few for what --timeout allows."""
    work = tempfile.mkdtemp(prefix="vramscope-train-")
    start, limit = time.monotonic(), min(seconds, a.timeout)
    try:
        with open(work + "/output", "w+", errors="replace") as output:
            pr = subprocess.Popen(command_of(a, cell, who) + ["--results", work + "/results.json"], stdout=output, stderr=output)
            try:
                status = pr.wait(limit)
            except BaseException as e:
                pr.kill()
                pr.wait()
                if not isinstance(e, subprocess.TimeoutExpired):
                    raise
                return None if limit < a.timeout else {"status": "failed", "reason": f"not done after {limit:.0f} s", "wall_s": limit}
            output.seek(0)
            return {**read_results(work + "/results.json", output.read(), status), "wall_s": time.monotonic() - start}
    finally:
        shutil.rmtree(work, ignore_errors=True)


def contestants(state, cell, turn):
    eager = []
    for precision in PRECISIONS[cell["dtype"]]:
        ways = [f"eager {precision} {o}" for o in OPTIMIZERS[cell["optimizer"]]]
        eager += [peer_of(state, cell, precision) or ways[0]] if turn else ways
    rest = eager + cell["modes"]
    ran = {r["who"] for r in state["runs"] if r["cell"] == cell["name"] and (r["status"] == "ok" or r["round"] >= turn)}
    failed = {r["who"] for r in state["runs"] if r["cell"] == cell["name"]} - ran  # in earlier rounds, every time
    return [w for w in ["vanilla"] + (rest[::-1] if turn % 2 else rest) if w not in failed]


def slice_of_runs(state, cell, a, left, slice_id):
    """Runs what is missing of one cell; False when the time is over."""
    for turn in range(a.rounds):
        of_turn = lambda: [r for r in state["runs"] if r["cell"] == cell["name"] and r["round"] == turn]
        missing = [w for w in contestants(state, cell, turn) if all(r["who"] != w for r in of_turn())]
        if missing and "vanilla" not in missing and all(r["slice"] != slice_id for r in of_turn() if r["who"] == "vanilla"):
            missing = ["vanilla"] + missing  # what runs now is compared with a vanilla of now
        for who in missing:
            walls = [r["wall_s"] for r in state["runs"] if r["cell"] == cell["name"] and r["who"] == who]
            if left() < max(walls, default=5.0):
                return False
            run = measure(a, cell, who, left())
            if run is None:
                return False
            state["runs"].append({"cell": cell["name"], "round": turn, "slice": slice_id, "who": who, **run})
            save(a, state)
            what = f"{run['ms']:.3f} ms" if run["status"] == "ok" else "FAILED: " + run["reason"]
            print(f"{cell['name']} round {turn + 1} {who}: {what} ({run['wall_s']:.0f} s)", file=sys.stderr, flush=True)
    return True


# ---- reading ----

def ok_runs(state, cell, who):
    return [r for r in state["runs"] if r["cell"] == cell["name"] and r["who"] == who and r["status"] == "ok"]


def peer_of(state, cell, precision):
    """The faster of the ways to run eager in this precision, by what both did in the first round."""
    found = []
    for o in OPTIMIZERS[cell["optimizer"]]:
        who = f"eager {precision} {o}"
        found += [(r["ms"], who) for r in ok_runs(state, cell, who) if r["round"] == 0]
    return min(found)[1] if found else None


def paired(state, cell, one, other, key="ms"):
    """Median and quartiles of one / other over the rounds that have both; None without any."""
    at = {(r["round"], r["slice"]): r[key] for r in ok_runs(state, cell, other) if r.get(key)}
    ratio = [r[key] / at[r["round"], r["slice"]] for r in ok_runs(state, cell, one) if r.get(key) and (r["round"], r["slice"]) in at]
    if not ratio:
        return None
    q = statistics.quantiles(ratio, n=4, method="inclusive") if len(ratio) > 1 else [None] * 3
    return {"ratio": statistics.median(ratio), "quartiles": [q[0], q[2]], "rounds": len(ratio)}


def row_of(state, cell, who):
    runs, row = ok_runs(state, cell, who), {"who": who}
    failed = [r for r in state["runs"] if r["cell"] == cell["name"] and r["who"] == who and r["status"] != "ok"]
    if failed:
        row["failed"] = failed[-1]["reason"]
    if runs:
        row.update(ms=statistics.median(r["ms"] for r in runs), min_ms=min(r["min_ms"] or r["ms"] for r in runs), runs=len(runs),
                   peak_bytes=max((r["peak_bytes"] or 0 for r in runs), default=0) or None, semantics=runs[-1].get("semantics"),
                   of_vanilla=paired(state, cell, who, "vanilla"), vanilla_of=paired(state, cell, "vanilla", who),
                   peak_of_vanilla=paired(state, cell, who, "vanilla", "peak_bytes"))
    return row


def analyse(state, cells):
    table = []
    for cell in cells:
        names = list(dict.fromkeys(["vanilla", *cell["modes"]] + [r["who"] for r in state["runs"] if r["cell"] == cell["name"]]))
        rows = [row_of(state, cell, who) for who in names]
        peers = {p: peer_of(state, cell, p) for p in PRECISIONS[cell["dtype"]]}
        table.append({"cell": cell["name"], "rows": [r for r in rows if len(r) > 1 or r["who"] == "vanilla"], "peers": peers,
                      "not_run": [r["who"] for r in rows if len(r) == 1]})
    return table


def number(x, form):
    return format(x, form) if x is not None else "-".rjust(int(form.split(".")[0]))


def ratio_text(pair):
    if not pair:
        return f"{'-':>8}{'':>16}"
    q = pair["quartiles"]
    return f"{pair['ratio']:8.4f}" + (f"  {q[0]:6.4f}-{q[1]:6.4f}" if q[0] is not None else "  one round    ")


def cell_text(c):
    lines = [f"== {c['cell']} ==", f"{'':<33}{'ms':>10}{'min':>10}{'/vanilla':>10}{'quartiles':>15}{'peak MiB':>10}{'/vanilla':>9}"]
    for r in c["rows"]:
        if "ms" in r:
            peak = r["peak_bytes"] / MIB if r["peak_bytes"] else None
            of = r["peak_of_vanilla"]["ratio"] if r["peak_of_vanilla"] else None
            lines.append(f"{r['who']:<33}{r['ms']:10.3f}{r['min_ms']:10.3f}  {ratio_text(r['of_vanilla'])}{number(peak, '9.1f')}{number(of, '9.4f')}"
                         + (f"  failed once: {r['failed']}" if "failed" in r else "") + ("  norms only" if r["semantics"] == "norms_only" else ""))
        else:
            lines.append(f"{r['who']:<33}" + (f"  FAILED: {r['failed']}" if "failed" in r else "  not run"))
    for precision, who in c["peers"].items():
        pair = next((r.get("vanilla_of") for r in c["rows"] if r["who"] == who), None)
        if pair:
            lines.append(f"our vanilla / {who}: {ratio_text(pair).rstrip()}, {pair['rounds']} rounds")
    if c["not_run"]:
        lines.append("not run: " + ", ".join(c["not_run"]))
    return lines


def fork_text(state, table, peers):
    """The table, and [(fork's mode, our row)] of those measured."""
    rows = {r["who"]: r for c in table if c["cell"] == FORK_CELL for r in c["rows"] if "ms" in r}
    if not rows:
        return [], []
    none = float(peers["no_dp_single"]["ms"])
    lines = [f"== {FORK_CELL}, the fork of Opacus on one H200 beside ours ==" + ("" if comparable(state) else
             "  (not comparable: measured on another machine, or at other sizes)"),
             f"{'fork':<18}{'ours':<10}{'fork ms':>9}{'ours':>9}{'ours/fork':>11}{'fork MiB':>10}{'ours':>10}{'ours/fork':>11}{'fork/no DP':>12}{'ours':>7}"]
    found = []
    for name, peer in peers.items():
        r, ms, mib = rows.get(FORK[name]), float(peer["ms"]), float(peer["peak_mib"])
        if not r:
            lines.append(f"{name:<18}{FORK[name]:<10}{ms:9.1f}  no measurement of ours")
            continue
        found.append((name, r))
        peak = r["peak_bytes"] / MIB if r["peak_bytes"] else None
        of = r["of_vanilla"]["ratio"] if r["of_vanilla"] else None
        lines.append(f"{name:<18}{r['who']:<10}{ms:9.1f}{r['ms']:9.1f}{r['ms'] / ms:11.4f}{mib:10.0f}{number(peak, '10.0f')}"
                     f"{number(peak / mib if peak else None, '11.4f')}{ms / none:12.2f}{number(of, '7.2f')}")
    return lines, found


def comparable(state):
    return "H200" in state["identity"]["machine"] and not state["identity"]["sizes"]


# ---- verdicts ----

def verdict(state, target, measured, met):
    """measured: text, or '' when there is none; met is looked at only where the targets hold."""
    if not measured:
        return {"target": target, "measured": None, "met": None, "text": f"NO VERDICT  {target}: not measured"}
    if not comparable(state):
        return {"target": target, "measured": measured, "met": None,
                "text": f"NO VERDICT  {target}: {measured}; the target is for an H200 and the preset's own sizes"}
    return {"target": target, "measured": measured, "met": met, "text": f"{'MET' if met else 'NOT MET':<12}{target}: {measured}"}


def overhead_verdicts(state, table):
    out = []
    for name, what, most_time, most_memory in OVERHEAD:
        rows = [r for c in table if c["cell"] == name for r in c["rows"] if r.get("of_vanilla") and r.get("peak_of_vanilla")
                and r["semantics"] not in (None, "norms_only", "non_private")]
        time_of, memory_of = (lambda r: r["of_vanilla"]["ratio"]), (lambda r: r["peak_of_vanilla"]["ratio"])
        both = [r for r in rows if time_of(r) <= most_time and memory_of(r) <= most_memory]
        best = min(both or rows, key=time_of, default=None)  # one mode has to meet both
        for target, value, most in ((f"{name} {what}: best mode's step / our vanilla <= {most_time}", time_of, most_time),
                                    (f"{name} {what}: that mode's peak / our vanilla's <= {most_memory}", memory_of, most_memory)):
            text = f"{value(best):.4f} ({best['who']}, {best['of_vanilla']['rounds']} rounds)" if best else ""
            out.append(verdict(state, target, text, best and value(best) <= most))
    return out


def fork_verdicts(state, peers, found):
    by_name, out = dict(found), []
    for name, peer in peers.items():
        r, text, met = by_name.get(name), "", None
        if r and r["peak_bytes"]:
            ms, mib = r["ms"] / float(peer["ms"]), r["peak_bytes"] / MIB / float(peer["peak_mib"])
            text, met = f"time {ms:.4f}, peak {mib:.4f}", ms < 1 and mib < 1
        out.append(verdict(state, f"{FORK_CELL}: our {FORK[name]} faster and smaller than the fork's {name}", text, met))
    return out


def eager_verdicts(state, table):
    out = []
    for c in table:
        if c["cell"].split(":")[1] not in ("fp32", "bf16"):
            continue
        for precision, who in c["peers"].items():
            pair = next((r.get("vanilla_of") for r in c["rows"] if r["who"] == who), None)
            text = f"{pair['ratio']:.4f} ({who}, {pair['rounds']} rounds)" if pair else ""
            out.append(verdict(state, f"{c['cell']}: our vanilla / eager {precision} <= 1.00", text, pair and pair["ratio"] <= 1))
    return out


def report(a, state):
    with open(os.path.join(here, "fork_steps_h200.csv"), newline="") as f:
        peers = {r["mode"]: r for r in csv.DictReader(x for x in f if not x.startswith("#"))}
    known = {c["name"] for c in a.cells}  # what an earlier call measured is shown too
    others = [dict(zip(("name", "preset", "dtype", "optimizer", "modes"), [n, *n.split(":"), []]))
              for n in dict.fromkeys(r["cell"] for r in state["runs"]) if n not in known]
    i, table = state["identity"], analyse(state, a.cells + others)
    fork_lines, found = fork_text(state, table, peers)
    verdicts = overhead_verdicts(state, table) + fork_verdicts(state, peers, found) + eager_verdicts(state, table)
    dates = [s["date"] for s in state["slices"]]
    torch = next((r["torch"] for r in state["runs"] if r.get("torch")), "not run")
    lines = [f"# bench/train/against_eager.py: {i['machine']}; PyTorch {torch}; commit {i['commit']}; {', '.join(dict.fromkeys(dates)) or 'not run'}",
             f"# {i['num_iter']} timed iterations after {i['warmup_iter']} in a process; noise multiplier {i['noise']}"
             + (f"; sizes {i['sizes']}" if i["sizes"] else "")]
    for c in table:
        lines += ["", *cell_text(c)]
    lines += ["", *fork_lines] if fork_lines else []
    lines += ["", "== targets =="] + [v["text"] for v in verdicts]
    state.update(table=table, verdicts=verdicts)
    print("\n".join(lines))
    if a.text:
        with open(a.text, "w") as f:
            f.write("\n".join(lines) + "\n")


def main():
    a, start = arguments(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception: it ends the process being measured
    state = load(a)
    left = lambda: (a.time_budget if a.time_budget is not None else float("inf")) - (time.monotonic() - start)
    if a.time_budget != 0:
        slice_id = len(state["slices"])
        state["slices"].append({"date": datetime.date.today().isoformat(), "started": datetime.datetime.now().isoformat("T", "seconds")})
        state["finished"] = True
        for cell in a.cells:
            if not slice_of_runs(state, cell, a, left, slice_id):
                state["finished"] = False
                print("against_eager: the time is over; the same command goes on from here", file=sys.stderr)
                break
    report(a, state)
    if state["runs"]:
        save(a, state)
    return any(r["status"] != "ok" for r in state["runs"])


if __name__ == "__main__":
    sys.exit(main())
