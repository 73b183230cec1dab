# SPDX-License-Identifier: MIT
# Records the programs of this folder, unchanged, and compares each recording with what the program itself knows:
# categories, the account of all bytes, and Python lines. One summary table. See run.sh for how to call it.
import argparse, collections, concurrent.futures, glob, gzip, json, os, shutil, subprocess, sys, time
import export

HERE = os.path.dirname(os.path.abspath(__file__))
Program = collections.namedtuple("Program", "file gpus strict lines arguments", defaults=((),))
# strict: every bound holds. Of the others, what is labelled must be right, and may be unknown.
PROGRAMS = {
    "gpt": Program("gpt", 1, True, True),
    "llama": Program("llama", 1, True, True),
    "resnet_sgd": Program("resnet_sgd", 1, True, True),
    "llama_ckpt_accum": Program("llama_ckpt_accum", 1, True, True),
    "zero_grad_false": Program("zero_grad_false", 1, False, False),
    "sgd_plain": Program("sgd_plain", 1, False, False),
    "clip": Program("clip", 1, False, False),
    "amp_scaler": Program("amp_scaler", 1, False, False),
    "gan": Program("gan", 1, False, False),
    "infer": Program("infer", 1, False, True),
    "fused_adamw": Program("fused_adamw", 1, False, False),
    "adamw_loop": Program("adamw_loop", 1, False, False),
    "keep_outputs": Program("keep_outputs", 1, False, False),
    "leak": Program("leak", 1, False, False),
    "lora": Program("lora", 1, False, False),
    "double_backward": Program("double_backward", 1, False, True),
    "ckpt_reentrant": Program("ckpt_reentrant", 1, False, False),
    "compiled": Program("compiled", 1, False, False),
    "llama_fsdp2": Program("llama_fsdp2", 2, True, True),
    "fsdp1": Program("fsdp1", 2, False, False),
    "ddp": Program("ddp", 2, False, False),
    "ddp_view": Program("ddp", 2, False, False, ("--bucket-view",)),
}


def options():
    p = argparse.ArgumentParser(prog="run.sh")
    p.add_argument("out", metavar="OUT_DIR")
    p.add_argument("--programs", default="", help="some of: " + " ".join(PROGRAMS))
    p.add_argument("--gpus", type=int, default=1, help="1: the programs of one GPU (default); 2: those of two")
    p.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"), help="where bin/vramscope is")
    p.add_argument("--no-lines", action="store_true", help="do not check Python lines")
    p.add_argument("--keep", choices=("no", "gz", "yes"), default="no", help="the databases, afterwards (default: no)")
    p.add_argument("--jobs", type=int, default=1, help="programs at a time; with more than one the account is not checked")
    p.add_argument("--timeout", type=int, default=150, help="seconds for one program")
    a = p.parse_args()
    a.names = a.programs.replace(",", " ").split() or [n for n, of in PROGRAMS.items() if of.gpus == a.gpus]
    unknown = [n for n in a.names if n not in PROGRAMS]
    if unknown:
        p.error(f"no program {', '.join(unknown)}; there are: {' '.join(PROGRAMS)}")
    a.tool = os.path.abspath(os.path.join(a.build, "bin", "vramscope"))
    if not os.access(a.tool, os.X_OK):
        p.error(f"{a.tool} is not there: build it first (make), or say --build FOLDER")
    a.lines_option = not a.no_lines and "--python-lines" in subprocess.run(
        [a.tool, "run", "--help"], stdout=subprocess.PIPE, text=True).stdout
    a.out = os.path.abspath(a.out)
    return a


def record(a, name):
    """Runs one program recorded. (exit status, seconds)"""
    of, base = PROGRAMS[name], os.path.join(a.out, name)
    lines = a.lines_option and of.lines
    env = {**os.environ, "TRUTH_OUT": base + ".truth", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if lines:
        env["TRUTH_HISTORY"] = base + ".history"
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={of.gpus}"] if of.gpus > 1 else []
    command = [a.tool, "run", "-o", base + ".db", "--force", *(["--python-lines"] if lines else []), "--", sys.executable, *launch,
               os.path.join(HERE, "programs", of.file + ".py"), *of.arguments]
    began = time.monotonic()
    with open(base + ".log", "w") as log:
        try:
            status = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                    timeout=a.timeout).returncode
        except subprocess.TimeoutExpired:
            status = f"no end after {a.timeout} s"
    return status, time.monotonic() - began


def checker(a, name, what, arguments):
    """Runs a checker; its words go to NAME.check.txt. (status, its JSON)"""
    base = os.path.join(a.out, name)
    out = f"{base}.{what}.json"
    r = subprocess.run([sys.executable, "-B", f"{HERE}/check_{what}.py", "-v", "--name", name, "--json", out, *arguments],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with open(base + ".check.txt", "a") as f:
        f.write(f"== {what}\n{r.stdout}\n")
    result = []
    if os.path.exists(out):
        with open(out) as f:
            result = json.load(f)
        os.unlink(out)
    return r.returncode, result


def check(a, name):
    base, of = os.path.join(a.out, name), PROGRAMS[name]
    truths = sorted(glob.glob(base + ".truth.rank*"))
    histories = [base + ".history.rank" + t.rsplit("rank", 1)[1] for t in truths]
    got = {"truths": len(truths), "recorded": os.path.exists(base + ".db"), "categories": (2, []), "account": None, "lines": None}
    if not truths or not got["recorded"]:
        return got
    arguments = [] if of.strict else ["--or-unknown"]
    if len(truths) == 1 and os.path.exists(histories[0]):
        arguments += ["--history", histories[0]]
    got["categories"] = checker(a, name, "categories", [*arguments, base + ".db", *truths])
    if a.jobs == 1:
        got["account"] = checker(a, name, "account", [base + ".db"])
    if all(map(os.path.exists, histories)):
        pairs = [f for pair in zip(truths, histories) for f in pair]
        got["lines"] = checker(a, name, "lines", [base + ".db", *pairs])
    return got


def keep_little(a, name):
    """What is left of a program: allocator events, collectives, truth and words, all small."""
    base = os.path.join(a.out, name)
    if os.path.exists(base + ".db"):
        export.export(base + ".db", base)
    big = glob.glob(base + ".truth.rank*") + ([base + ".db"] if a.keep == "gz" else [])
    for path in filter(os.path.exists, big):
        with open(path, "rb") as f, gzip.open(path + ".gz", "wb") as z:
            shutil.copyfileobj(f, z)
        os.unlink(path)
    drop = glob.glob(base + ".history.rank*") + (glob.glob(base + ".db*") if a.keep == "no" else glob.glob(base + ".db-*"))
    for path in drop:
        os.unlink(path)


COLUMNS = (("program", 17), ("ranks", 5), ("peak GiB", 8), ("P %", 6), ("G %", 6), ("O %", 6), ("wrong %", 7), ("unknown %", 9),
           ("sums", 6), ("iterations", 10), ("phases %", 8), ("remainder MiB", 13), ("right line %", 12),
           ("seconds", 7), ("verdict", 0))


def show(cells):
    words = (str(c).ljust(w) if i == 0 or not w else str(c).rjust(w) for i, (c, (_, w)) in enumerate(zip(cells, COLUMNS)))
    print("  ".join(words).rstrip(), flush=True)


def summary(name, status, seconds, got):
    """One row; the worst of all ranks. True: nothing failed."""
    categories, account, lines = got["categories"], got["account"], got["lines"]
    ranks = [r for r in categories[1] if "skipped" not in r]
    skipped = [r["skipped"] for r in categories[1] if "skipped" in r]
    worst = lambda key: f"{max(r[key] for r in ranks):.2f}" if ranks else "-"
    checked = [(what, got[what][0]) for what in ("categories", "account", "lines") if got[what]]
    failed = [f"exit status {status}"] if status else []
    if got["truths"] != PROGRAMS[name].gpus:
        failed.append(f"{got['truths']} of {PROGRAMS[name].gpus} processes told the truth")
    if got["recorded"]:
        failed += [what + (" not checked" if code == 2 else "") for what, code in checked if code]
    else:
        failed.append("nothing recorded")
    verdict = "skipped: " + skipped[0] if skipped else "FAIL: " + ", ".join(failed) if failed else "ok"
    rest = f"{max(r['remainder_bytes'] for r in account[1]) / 2**20:.1f}" if account and account[1] else "-"
    right = f"{min(r['right'] for r in lines[1]):.2f}" if lines and lines[1] else "-"
    peak = f"{max(r['peak_bytes'] for r in ranks) / 2**30:.2f}" if ranks else "-"
    exact = "-" if not ranks else "exact" if all(r["exact"] for r in ranks) else "DIFFER"
    each = lambda key: " ".join(sorted({r[key] for r in ranks})) or "-"
    show((name, got["truths"], peak, worst("P"), worst("G"), worst("O"), worst("wrong"), worst("unknown"), exact,
          each("iterations"), each("phases"), rest, right, f"{seconds:.1f}", verdict))
    return bool(skipped) or not failed


def one(a, name):
    """Records, checks and sums up one program. True: nothing failed."""
    for old in glob.glob(os.path.join(a.out, name) + ".*"):
        os.unlink(old)
    try:
        status, seconds = record(a, name)
        good = summary(name, status, seconds, check(a, name))
        keep_little(a, name)
    except Exception as error:  # of one program; the others go on
        print(f"{name:<17}  FAIL: {type(error).__name__}: {error}", flush=True)
        good = False
    return good


def main():
    a = options()
    os.makedirs(a.out, exist_ok=True)
    show([c for c, _ in COLUMNS])
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        good = list(pool.map(lambda name: one(a, name), a.names))
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed; what each checker said is in {a.out}/*.check.txt, the programs' "
          "words in *.log")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
