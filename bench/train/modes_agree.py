# SPDX-License-Identifier: MIT
# Does every mode of `vramscope-workload train` give what `explicit` gives? Runs `train --check` (a mode and explicit in one process:
# per-sample norms, clipped gradients, the change of the weights) over modes x models x batch sizes x sequence lengths x element types.
#   python bench/train/modes_agree.py [--build build] [--device cpu|cuda] [--dtypes fp32,bf16] [--modes ghost,...] [--jobs 4]
#                                     [--time-budget SECONDS] [--with "--optimizer sgd"] [--out result.json]
# Prints, per mode, model and element type, the largest relative errors over B and T. A run is wrong when the workload says so (its exit
# status, by its own tolerance), when it gives no numbers, or when a clipped norm is above C (1 + 1e-3). The whole is wrong (exit 1)
# when one run is, or when no sample at all was clipped: that would be no test of clipping. explicit itself is tested elsewhere.
# The numbers are "check": {"norms", "gradients", "weights"} of the results file, or else the words and numbers of the output.
import argparse, collections, concurrent.futures, itertools, json, math, os, re, shlex, subprocess, sys, tempfile, time

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--build", default=os.path.join(here, "..", "..", "build"))
p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
p.add_argument("--dtypes", default="", help="default: fp32,fp64 on a CPU, fp32,bf16 on a GPU")
p.add_argument("--modes", default="ghost,flash,ghost_bk,flash_bk,fuse,fuse_bk,micro,auto")
p.add_argument("--models", default="lm,llama")
p.add_argument("--batch-sizes", default="1,2,4")
p.add_argument("--seq-lens", default="", help="default: 33,100,129 on a CPU, 100,129,1000 on a GPU")
p.add_argument("--clip", default="1.0", help="the bound C of a sample's norm")
p.add_argument("--with", dest="more", default="", help="more options of the workload")
p.add_argument("--jobs", type=int, default=0, help="programs at once (default: 2 on a CPU, 4 on a GPU)")
p.add_argument("--timeout", type=float, default=300, help="seconds for one run")
p.add_argument("--time-budget", type=float, default=0, help="stop starting runs after so many seconds")
p.add_argument("--out", default="")
a = p.parse_args()
cpu = a.device == "cpu"
SMALL = "--hidden-dim 64 --num-layers 2 --num-heads {} --num-kv-heads {} --ffn-dim {} --vocab-size {}"  # a preset says which kind
MODELS = {"lm": "--preset gpt2-large " + SMALL.format(4, 4, 256, 257), "llama": "--preset llama-3.2-1b " + SMALL.format(8, 2, 176, 256)}
WHAT = ("norms", "gradients", "weights")
NUMBER = re.compile(r"\b(norm|gradient|weight)s?\b[^\d\n]{0,40}?((?<![\w.])(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|nan|inf)\b)", re.I)
workload = os.path.join(os.path.abspath(a.build), "bin", "vramscope-workload")
if not os.access(workload, os.X_OK):
    sys.exit(f"modes_agree: there is no {workload}; build it (make), or say where with --build")
models = a.models.split(",")
for name in models:
    if name not in MODELS:
        sys.exit(f"modes_agree: no model {name!r}; there are {', '.join(MODELS)}")
dtypes = (a.dtypes or ("fp32,fp64" if cpu else "fp32,bf16")).split(",")
lengths = (a.seq_lens or ("33,100,129" if cpu else "100,129,1000")).split(",")
start = time.monotonic()


def errors(result, text):
    """The largest relative error of each of WHAT; those that are not said are left out."""
    found = {}
    for key in WHAT:
        value = (result.get("check") or {}).get(key)
        if isinstance(value, (int, float)):
            found[key] = float(value)
    if not found:
        for word, value in NUMBER.findall(text):
            key = word.lower() + "s"
            found[key] = max(found.get(key, 0.0), float(value), key=lambda x: (math.isnan(x), x))
    return found


def one(case):
    mode, model, dtype, B, T = case
    out = {"mode": mode, "model": model, "dtype": dtype, "B": int(B), "T": int(T)}
    if a.time_budget and time.monotonic() - start > a.time_budget:
        return {**out, "status": "not run"}
    handle, path = tempfile.mkstemp(prefix="vramscope-agree-")
    os.close(handle)
    os.unlink(path)  # the workload writes new files only
    command = [workload, "train", "--check", "--mode", mode, "--dtype", dtype, "--device", a.device, *MODELS[model].split(),
               "--batch-size", B, "--seq-len", T, "--max-grad-norm", a.clip, *shlex.split(a.more), "--results", path]
    try:
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=a.timeout)
        with open(path) as f:
            result = json.loads(f.read() or "{}")
    except subprocess.TimeoutExpired:
        return {**out, "status": "wrong", "reason": f"not done after {a.timeout:.0f} s"}
    except ValueError:
        return {**out, "status": "wrong", "reason": "its results are no JSON"}
    finally:
        os.unlink(path)
    out.update(errors=errors(result, r.stdout), exit=r.returncode, coefficients=result.get("clip_coefficients") or [])
    clipped = [n * c for n, c in zip(result.get("sample_norms") or [], out["coefficients"])]
    missing = [w for w in WHAT if w not in out["errors"]]
    reason = ""
    if r.returncode:
        last = (r.stdout.strip().splitlines() or ["no message"])[-1]
        reason = result.get("reason") or last
    elif missing:
        reason = f"no error of {', '.join(missing)} was said"
    elif any(not math.isfinite(x) for x in out["errors"].values()):
        reason = "an error is not a number"
    elif len(clipped) != int(B):
        reason = f"{len(clipped)} norms with coefficients for {B} samples"
    elif not all(x <= result["check"]["bound"] * (1 + 1e-3) for x in clipped):
        reason = f"a clipped norm is {max(clipped):.6g}"
    return {**out, "status": "wrong" if reason else "ok", "reason": reason, "largest_clipped_norm": max(clipped, default=None)}


cases = list(itertools.product(a.modes.split(","), models, dtypes, a.batch_sizes.split(","), lengths))
with concurrent.futures.ThreadPoolExecutor(a.jobs or (2 if cpu else 4)) as pool:
    runs = list(pool.map(one, cases))
groups = collections.OrderedDict()
for r in runs:
    groups.setdefault((r["mode"], r["model"], r["dtype"]), []).append(r)
print(f"train --check, {a.device}; B {a.batch_sizes}, T {','.join(lengths)}, C {a.clip} {a.more}")
print(f"{'mode':<10}{'model':<7}{'dtype':<6}{'runs':>5}{'ok':>5}{'norms':>10}{'gradients':>11}{'weights':>10}  largest relative errors against explicit")
for (mode, model, dtype), group in groups.items():
    done = [r for r in group if r["status"] != "not run"]
    worst = [max((r["errors"][w] for r in done if w in r.get("errors", {})), default=None) for w in WHAT]
    shown = "".join((f"{x:.1e}" if x is not None else "-").rjust(width) for x, width in zip(worst, (10, 11, 10)))
    ok = sum(r["status"] == "ok" for r in done)
    print(f"{mode:<10}{model:<7}{dtype:<6}{len(done):>5}{ok:>5}{shown}{'' if ok == len(group) else '  NOT ALL RUN' if ok == len(done) else '  WRONG'}")
    for r in done:
        if r["status"] == "wrong":
            print(f"    B {r['B']}, T {r['T']}: {r['reason']}")
coefficients = [c for r in runs for c in r.get("coefficients", []) if c is not None]
count = collections.Counter(r["status"] for r in runs)
clipped = sum(c < 1 for c in coefficients)
print(f"{len(runs)} runs: {count['ok']} agree, {count['wrong']} wrong, {count['not run']} not run; {clipped} of {len(coefficients)} samples clipped")
if coefficients and not clipped:
    print(f"no test of clipping: no sample's norm is above {a.clip}; choose a smaller --clip")
if a.out:
    with open(a.out, "w") as f:
        json.dump({"device": a.device, "clip": a.clip, "options": a.more, "runs": runs}, f, indent=1)
sys.exit(bool(count["wrong"] or not count["ok"] or not clipped))
