# SPDX-License-Identifier: MIT
# Is the recording equal to what PyTorch and NCCL themselves know? Runs each program recorded, and again under
# torch.profiler for the kernel counts, and compares number by number.
#   python bench/correct.py [--cases gpt,llama,fsdp,expandable,async] [--gpus N] [--out result.json]
import argparse, collections, glob, json, os, re, shutil, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--cases", default="gpt,llama,expandable,async")
p.add_argument("--gpus", type=int, default=2, help="ranks of the fsdp case")
p.add_argument("--build", default=os.path.join(here, "..", "build"))
p.add_argument("--work", default="/tmp/vramscope-correct")
p.add_argument("--out", default="")
a = p.parse_args()
tool, programs = os.path.abspath(a.build) + "/bin/vramscope", os.path.join(here, "programs")
torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={a.gpus}"]
shutil.rmtree(a.work, ignore_errors=True)
os.makedirs(a.work)
gpt = [programs + "/gpt_loop.py", "small", "none"]
cases = {
    "gpt": (gpt, {}, 1),
    "llama": ([programs + "/llama_loop.py"], {}, 1),
    "fsdp": ([programs + "/llama_loop.py"], {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "COLL",
                                             "NCCL_DEBUG_FILE": f"{a.work}/nccl.%h.%p"}, a.gpus),
    "expandable": (gpt, {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}, 1),
    "async": (gpt, {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}, 1),
}
SIZES = [1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1]  # ncclDataType_t
NAMES = {"AllReduce": "all_reduce", "AllGather": "all_gather", "ReduceScatter": "reduce_scatter",
         "Broadcast": "broadcast", "Reduce": "reduce", "Send": "send", "Recv": "recv"}


def run(cmd, env):
    r = subprocess.run(cmd, env={**os.environ, **env}, input="go 5\nend\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=300)
    truth = {}
    for line in r.stdout.splitlines():
        at = line.find("TRUTH ")
        if at >= 0:
            t = json.loads(line[at + 6:])
            truth[t["rank"]] = t
    if not truth:
        print(r.stdout[-3000:])
    return r, truth


def query(db, sql):
    return json.loads(subprocess.run([tool, "query", db, sql, "--format", "json"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout or "[]")


results, bad = [], 0


def compare(case, rank, what, ours, theirs):
    global bad
    ok = ours == theirs
    bad += not ok
    results.append({"case": case, "rank": rank, "what": what, "recorded": ours, "truth": theirs, "equal": ok})
    print(f"{case:<11}{rank:>4}  {what:<34}{ours!s:>16}{theirs!s:>16}  {'equal' if ok else 'DIFFERENT'}", flush=True)


for name in a.cases.split(","):
    program, env, ranks = cases[name]
    truth_cmd = lambda *m: (torchrun if ranks > 1 else [sys.executable]) + [programs + "/truth.py", *m, *program]
    db = f"{a.work}/{name}.db"
    r, truth = run([tool, "run", "-o", db, "--trace", "kernels", "--", *truth_cmd()], env)
    compare(name, -1, "exit status", r.returncode, 0)
    nccl_log = "".join(open(f, errors="replace").read() for f in glob.glob(f"{a.work}/nccl.*"))
    _, profiled = run(truth_cmd("--profile"), {k: v for k, v in env.items() if not k.startswith("NCCL_")})
    processes = {p["rank"] or 0: p["id"] for p in query(db, "SELECT id, rank FROM process")}
    losses = query(db, "SELECT source, reason, count FROM loss")
    compare(name, -1, "losses", len(losses), 0)
    if losses:
        print("   ", losses)
    compare(name, -1, "sources out of balance",
            query(db, "SELECT COUNT(*) AS n FROM balance WHERE appended IS NOT stored + lost_in_log")[0]["n"], 0)
    for rank in range(ranks):
        pid, t, pr = processes.get(rank), truth.get(rank, {}), profiled.get(rank, {})
        one = lambda sql: (query(db, sql.format(p=pid, d=t.get("device", 0))) or [{}])[0]
        if name != "async":
            s = one("SELECT a.peak_bytes AS live, r.peak_bytes AS reserved, a.allocations AS allocations, a.frees AS frees FROM "
                    "peak_data a JOIN peak_data r USING (process_id, device) WHERE a.series = 'torch' AND r.series = "
                    "'torch_reserved' AND process_id = {p} AND device = {d}")
            compare(name, rank, "peak live bytes", s.get("live"), t.get("max_allocated"))
            compare(name, rank, "peak held bytes", s.get("reserved"), t.get("max_reserved"))
            # Blocks PyTorch lives in: those with a piece of it inside; of expandable segments every physical chunk (16).
            inside = ("process_id = {p} AND device = {d} AND level = 'held' AND (id IN (SELECT parent_id FROM allocation WHERE "
                      "source = 'torch') OR (flags & 16 AND source = 'cuda'))")
            h = one(f"SELECT MAX(total) AS held FROM (SELECT SUM(x) OVER (ORDER BY t) AS total FROM (SELECT alloc_ts_ns AS t, bytes AS x "
                    f"FROM allocation WHERE {inside} UNION ALL SELECT free_ts_ns, -bytes FROM allocation WHERE free_ts_ns IS NOT NULL "
                    f"AND {inside}))")
            compare(name, rank, "peak of driver blocks torch uses", h.get("held"), t.get("max_reserved"))
            compare(name, rank, "allocations", s.get("allocations"), t.get("allocations"))
            f = one("SELECT COUNT(*) AS n FROM allocation WHERE process_id = {p} AND device = {d} AND source = 'torch' AND free_ts_ns < "
                    "(SELECT ts_ns FROM mark JOIN string s ON s.id = name_id WHERE process_id = {p} AND s.text = 'truth')")
            compare(name, rank, "frees", f.get("n"), t.get("frees"))
        else:
            s = one("SELECT peak_bytes AS live FROM peak_data WHERE series = 'cuda_async' AND process_id = {p} AND device = {d}")
            print(f"{name:<11}{rank:>4}  peak cuda_async: {s.get('live')}, torch: {t.get('max_allocated')}")
        for table, where, cat in (("kernel", "1", "kernel"), ("transfer", "op <> 'set'", "gpu_memcpy"),
                                  ("transfer", "op = 'set'", "gpu_memset")):
            k = one("SELECT COUNT(*) AS n FROM %s WHERE process_id = {p} AND %s" % (table, where))
            compare(name, rank, f"{cat} records (torch.profiler)", k.get("n"), pr.get(cat))
        k = one("SELECT COUNT(*) AS n FROM kernel WHERE process_id = {p} AND thread_id IS NULL")
        compare(name, rank, "kernels without a launching thread", k.get("n"), 0)
    if ranks > 1:
        issued = collections.Counter()
        for m in re.finditer(r"(\w+): opCount \S+ sendbuff \S+ recvbuff \S+ (?:acc \S+ )?count (\d+) datatype (\d+)", nccl_log):
            if m[1] in NAMES:
                issued[NAMES[m[1]], "calls"] += 1
                issued[NAMES[m[1]], "bytes"] += int(m[2]) * SIZES[int(m[3])]
        if not issued:
            print("no collectives in NCCL's log; it begins:", nccl_log[:600])
        ours = {c["op"]: c for c in query(db, "SELECT op, COUNT(*) AS calls, SUM(bytes) AS bytes FROM collective GROUP BY op")}
        for op in sorted({k[0] for k in issued} | set(ours)):
            for what in ("calls", "bytes"):
                compare(name, -1, f"{op} {what} (NCCL's log)", ours.get(op, {}).get(what, 0), issued[op, what])
print(f"{len(results)} numbers, {bad} different")
if a.out:
    json.dump(results, open(a.out, "w"), indent=1)
sys.exit(bad > 0)
