# SPDX-License-Identifier: MIT
# Does the C training step compute what PyTorch computes? `vramscope-workload train` dumps its weights, ids and gradients of one step
# (vanilla, no optimizer); bench/train/eager.py takes the same weights and ids, and loss and gradients are compared tensor by tensor.
#   python bench/train/parity.py [--build build] [--device cpu|cuda] [--dtypes fp32,fp64,tf32,bf16] [--out result.json]
# The truth is PyTorch in float64 of the same float32 weights. A tensor agrees when ||C - truth|| <= tolerance * ||truth||, tolerance
# as TOLERANCE says, or when C's error is at most twice that of PyTorch itself in the same precision. In bf16 that is the larger of
# autocast's, which keeps the sums of blocks in float32, and pure bfloat16's: C rounds those sums and keeps float32 gradients.
# The loss likewise. Exits 1 when anything differs or did not run.
import argparse, concurrent.futures, itertools, json, os, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--build", default=os.path.join(here, "..", "..", "build"))
p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
p.add_argument("--dtypes", default="", help="default: fp32,fp64 on a CPU, fp32,tf32,bf16 on a GPU")
p.add_argument("--configs", default="", help="names out of CONFIGS; default: all")
p.add_argument("--python", default=sys.executable, help="one with PyTorch")
p.add_argument("--jobs", type=int, default=1, help="comparisons at once")
p.add_argument("--timeout", type=float, default=300, help="seconds for one program")
p.add_argument("--out", default="")
a = p.parse_args()
LM = {"preset": "tiny", "hidden-dim": 64, "num-layers": 2, "num-heads": 4, "num-kv-heads": 4, "ffn-dim": 256, "vocab-size": 257}
LLAMA = {"preset": "llama-3.2-1b", "hidden-dim": 64, "num-layers": 2, "num-heads": 8, "num-kv-heads": 2, "ffn-dim": 176, "vocab-size": 256}
CONFIGS = {
    "tiny": {"preset": "tiny"},
    "lm": {**LM, "seq-len": 129, "batch-size": 3},
    "lm-four-layers": {**LM, "hidden-dim": 256, "num-layers": 4, "ffn-dim": 1024, "vocab-size": 1000, "seq-len": 128, "batch-size": 4},  # bench fsdp-norms's
    "lm-one-sample": {**LM, "seq-len": 64, "batch-size": 1},
    "llama": {**LLAMA, "seq-len": 100, "batch-size": 2},
    "llama-all-heads": {**LLAMA, "num-kv-heads": 8, "seq-len": 33, "batch-size": 1},
}
# The loss of a token is a float32 in every dtype. Gradients: float32 rounding of sums; TF32 keeps 10 bits, bfloat16 7.
TOLERANCE = {"fp64": (1e-6, 1e-6), "fp32": (1e-5, 1e-4), "tf32": (1e-3, 2e-2), "bf16": (5e-3, 3e-2)}
PEERS = {"fp64": [], "fp32": [], "tf32": ["tf32"], "bf16": ["bf16-autocast", "bf16-pure"]}
workload = os.path.join(os.path.abspath(a.build), "bin", "vramscope-workload")
if not os.access(workload, os.X_OK):
    sys.exit(f"parity: there is no {workload}; build it (make), or say where with --build")
for name in a.configs.split(",") if a.configs else []:
    if name not in CONFIGS:
        sys.exit(f"parity: no configuration {name!r}; there are {', '.join(CONFIGS)}")
dtypes = (a.dtypes or ("fp32,fp64" if a.device == "cpu" else "fp32,tf32,bf16")).split(",")
for name in dtypes:
    if name not in TOLERANCE:
        sys.exit(f"parity: no dtype {name!r}; there are {', '.join(TOLERANCE)}")


def run(command, results):
    """The JSON a program left, or an exception that says why there is none."""
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=a.timeout)
    if r.returncode or not os.path.exists(results):
        raise RuntimeError(f"{os.path.basename(command[0])} ended with {r.returncode}: {(r.stdout.strip().splitlines() or ['no message'])[-1]}")
    with open(results) as f:
        return json.load(f)


def eager(flags, precision, work, *more):
    out = f"{work}/eager-{precision}.json"
    return run([a.python, here + "/eager.py", *flags, "--precision", precision, "--weights", work + "/weights", "--ids", work + "/ids",
                "--results", out, *more], out)


def compare(config, dtype, work):
    """Rows (name, C's error, PyTorch's error or None, agrees, length of C's over the truth's)."""
    flags = [x for k, v in CONFIGS[config].items() for x in ("--" + k, str(v))] + ["--device", a.device]
    dump = [x for k in ("weights", "ids", "gradients") for x in ("--dump-" + k, f"{work}/{k}")]
    ours = run([workload, "train", "--mode", "vanilla", "--optimizer", "none", "--dtype", dtype, "--num-iter", "1", "--warmup-iter", "0",
                *flags, *dump, "--results", work + "/ours.json"], work + "/ours.json")
    truth = eager(flags, "fp64", work, "--gradients", work + "/gradients", "--save-gradients", work + "/truth")
    peers = [eager(flags, precision, work, "--gradients", work + "/truth") for precision in PEERS[dtype]]
    if ours["parameters"] != truth["parameters"]:
        raise RuntimeError(f"C has {ours['parameters']} parameters, PyTorch {truth['parameters']}")
    of_loss, of_gradients = TOLERANCE[dtype]
    error = lambda x: abs(x - truth["loss"]) / abs(truth["loss"])
    theirs = max((error(x["loss"]) for x in peers), default=None)
    mine = error(ours["losses"][0])
    rows = [("loss", mine, theirs, mine <= max(of_loss, 2 * (theirs or 0)), ours["losses"][0] / truth["loss"])]
    for i, g in enumerate(truth["gradients"]):
        theirs = max((x["gradients"][i]["relative_error"] for x in peers), default=None)
        agrees = g["relative_error"] <= max(of_gradients, 2 * (theirs or 0))  # False for NaN
        rows.append((g["name"], g["relative_error"], theirs, agrees, g["length_ratio"]))
    return rows


def attempt(case):
    """compare's rows, or what kept it from having any."""
    work = tempfile.mkdtemp(prefix="vramscope-parity-")
    try:
        return compare(*case, work)
    except (RuntimeError, OSError, KeyError, IndexError, ValueError, subprocess.TimeoutExpired) as e:
        return e
    finally:
        shutil.rmtree(work, ignore_errors=True)


bad, result = 0, []
cases = list(itertools.product(a.configs.split(",") if a.configs else CONFIGS, dtypes))
print(f"{'model':<16}{'dtype':<6}{'tensors':>8}{'loss':>11}{'worst gradient':>16}{'PyTorch there':>15}  which; verdict")
with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
    for (config, dtype), rows in zip(cases, pool.map(attempt, cases)):
        if isinstance(rows, Exception):
            bad += 1
            result.append({"model": config, "dtype": dtype, "failed": str(rows)})
            print(f"{config:<16}{dtype:<6}  FAILED: {rows}", flush=True)
            continue
        wrong = [r for r in rows if not r[3]]
        worst = max(rows[1:], key=lambda r: (not r[3], r[1]))
        bad += bool(wrong)
        result.append({"model": config, "dtype": dtype, "agrees": not wrong,
                       "rows": [dict(zip(("name", "error", "pytorch_error", "agrees", "length_ratio"), r)) for r in rows]})
        print(f"{config:<16}{dtype:<6}{len(rows) - 1:>8}{rows[0][1]:>11.1e}{worst[1]:>16.1e}{f'{worst[2]:.1e}' if worst[2] is not None else '-':>15}"
              f"  {worst[0]}; {'agrees' if not wrong else f'{len(wrong)} DIFFER'}", flush=True)
        for name, mine, theirs, _, ratio in wrong:  # a ratio that is B or 1/B for all of them says sum against mean
            print(f"    {name:<24} error {mine:.2e}" + (f", PyTorch's {theirs:.2e}" if theirs is not None else "") + f", C / PyTorch {ratio}")
print("tolerance of loss, gradients: " + "; ".join(f"{d} {TOLERANCE[d][0]:.0e}, {TOLERANCE[d][1]:.0e}" for d in dtypes)
      + ", or twice PyTorch's own error")
print(f"{len(result)} comparisons, {bad} wrong")
if a.out:
    with open(a.out, "w") as f:
        json.dump({"device": a.device, "tolerance": {d: TOLERANCE[d] for d in dtypes}, "comparisons": result}, f, indent=1)
sys.exit(bad > 0)
