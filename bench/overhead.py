# SPDX-License-Identifier: MIT
# Overhead on a PyTorch training loop, in one run, alternating and paired: every variant is a process of its own that is
# started once and then runs a few iterations whenever it is its turn; the order changes from round to round.
#   python bench/overhead.py --size small --rounds 12 --instances 2 [--variants bare,memory,...] [--out result.json]
# Variants: bare, memory, lines (memory with --python-lines), kernels, null (a CUPTI client that enables what `kernels` enables and throws its buffers away),
# torchprof, torchprof_mem, memhist, nsys. Ratios are medians over rounds of (variant / bare of the same round); the
# recordings of the timed runs are kept in --work and are to be ingested afterwards: they must show no loss.
import argparse, json, os, random, shutil, statistics, subprocess, sys, time

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--size", default="small", choices=["small", "big"])
p.add_argument("--rounds", type=int, default=12)
p.add_argument("--iterations", type=int, default=0, help="per turn (default: 40 small, 8 big)")
p.add_argument("--instances", type=int, default=2, help="processes per variant")
p.add_argument("--variants", default="bare,memory,kernels,null,torchprof,memhist,nsys")
p.add_argument("--build", default=os.path.join(here, "..", "build"))
p.add_argument("--work", default="/tmp/vramscope-overhead")
p.add_argument("--out", default="")
p.add_argument("--python", default=sys.executable)
a = p.parse_args()
iterations = a.iterations or (40 if a.size == "small" else 8)
build, loop = os.path.abspath(a.build), os.path.join(here, "programs", "gpt_loop.py")
shutil.rmtree(a.work, ignore_errors=True)
os.makedirs(a.work)
nsys = shutil.which("nsys") or next((os.path.join(r, "nsys") for r, _, f in os.walk("/opt/nvidia") if "nsys" in f and "target-linux" in r), None)


def start(variant, n):
    env, cmd = dict(os.environ), [a.python, loop, a.size, "none"]
    if variant in ("memory", "kernels", "api", "lines"):
        env.update(LD_PRELOAD=build + "/lib/libvramscope.so", VRAMSCOPE_TRACE="memory" if variant == "lines" else variant,
                   VRAMSCOPE_QUIET="1", VRAMSCOPE_RUN=f"{a.work}/{variant}-{n}", VRAMSCOPE_PYTHON_LINES=str(int(variant == "lines")))
    elif variant == "null":
        env.update(CUDA_INJECTION64_PATH=build + "/bench/libnull_cupti.so")
    elif variant == "nsys":
        if not nsys:
            return None
        cmd = [nsys, "profile", "-t", "cuda,nvtx", "-s", "none", "-f", "true", "-o", f"{a.work}/nsys-{n}"] + cmd
    elif variant != "bare":
        cmd[-1] = variant
    log = open(f"{a.work}/{variant}-{n}.stderr", "w")
    return subprocess.Popen(cmd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)


def read(proc, want=None):
    while True:
        line = proc.stdout.readline()
        if not line:
            return None
        line = line.strip()
        if want and line == want:
            return line
        try:
            if not want:
                return float(line)
        except ValueError:
            pass


names = [v for v in a.variants.split(",")]
procs = {}
for n in range(a.instances):
    for v in names:
        pr = start(v, n)
        if pr:
            procs[v, n] = pr
for key in list(procs):
    if not read(procs[key], "ready"):
        print(f"{key[0]}: did not start (see {a.work}/{key[0]}-{key[1]}.stderr)", file=sys.stderr)
        del procs[key]
times = {k: [] for k in procs}
random.seed(1)
for r in range(a.rounds):
    order = list(procs)
    random.shuffle(order)
    for k in order:
        procs[k].stdin.write(f"go {iterations}\n")
        procs[k].stdin.flush()
        times[k].append(read(procs[k]))
for pr in procs.values():
    pr.stdin.write("end\n")
    pr.stdin.flush()
deadline = time.time() + 90
for pr in procs.values():
    try:
        pr.wait(max(1, deadline - time.time()))
    except subprocess.TimeoutExpired:
        pr.kill()

med = statistics.median
rounds = {v: [med([times[v, n][r] for n in range(a.instances) if (v, n) in times]) for r in range(a.rounds)]
          for v in names if any(k[0] == v for k in times)}
result = {"size": a.size, "rounds": a.rounds, "iterations_per_turn": iterations, "instances": a.instances, "variants": {}}
print(f"{a.size}: {a.rounds} rounds x {iterations} iterations, {a.instances} processes per variant")
print(f"{'variant':<14}{'median ms':>10}{'min ms':>9}{'ratio to bare':>15}{'quartiles':>17}{'to null':>9}")
for v, t in rounds.items():
    ratio = [x / b for x, b in zip(t, rounds["bare"])]
    q = statistics.quantiles(ratio, n=4)
    to_null = med([x / b for x, b in zip(t, rounds["null"])]) if "null" in rounds else None
    result["variants"][v] = {"median_ms": med(t), "min_ms": min(t), "ratio": med(ratio), "quartiles": [q[0], q[2]],
                             "ratio_to_null": to_null, "ms": t,
                             "instances": {n: times[v, n] for n in range(a.instances) if (v, n) in times}}
    print(f"{v:<14}{med(t):>10.3f}{min(t):>9.3f}{med(ratio):>15.4f}{q[0]:>9.4f}-{q[2]:.4f}" +
          (f"{to_null:>9.4f}" if to_null else ""))
# The timed runs must be complete recordings.
for v, n in procs:
    folder = f"{a.work}/{v}-{n}"
    if os.path.isdir(folder):
        tool = build + "/bin/vramscope"
        subprocess.run([tool, "ingest", folder, "-o", folder + ".db"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        q = "SELECT (SELECT ifnull(SUM(count), 0) FROM loss) AS lost, (SELECT SUM(stored) FROM balance) AS records, (SELECT COUNT(*) FROM kernel) AS kernels, (SELECT group_concat(ended) FROM process) AS ended"
        r = subprocess.run([tool, "query", folder + ".db", q, "--format", "json"], stdout=subprocess.PIPE, text=True)
        row = (json.loads(r.stdout or "[]") or [{}])[0]
        result["variants"].setdefault(v, {})["recording-%d" % n] = row
        print(f"  {v}-{n}: {row.get('records')} records, {row.get('kernels')} kernels, {row.get('lost')} lost, ended: {row.get('ended')}")
if a.out:
    json.dump(result, open(a.out, "w"), indent=1)
