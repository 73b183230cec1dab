# SPDX-License-Identifier: MIT
# Do the checkers pass what is right and fail what is wrong? A made-up training run becomes a database, a truth file and a
# history; then one thing at a time is spoilt. Needs neither PyTorch nor a GPU:  python3 bench/truth/selftest.py [SCHEMA.sql]
import gzip, json, os, pickle, sqlite3, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "db", "schema.sql")
MIB = 1 << 20
LAYERS, ITERATIONS = 20, 4
PROGRAM, LIBRARY = "/home/me/train.py", "/usr/lib/python3/dist-packages/torch/nn/linear.py"


class Run:
    """Pieces in the order of their making, as a recording has them, with what they are; and what the program says."""

    def __init__(self):
        self.now, self.next, self.rows, self.truth, self.live = 1000, 0x7F0000000000, [], [], {"P": [], "G": [], "O": [], "U": []}
        self.truth.append({"what": "start", "t": 1, "pid": 77, "rank": 0, "device": 0, "torch": "0"})
        self.peak = (0, 0)

    def total(self):
        return sum(r["bytes"] for r in self.rows if r["free"] is None)

    def make(self, size, category, thread=1, kind=None, line=10):
        self.now += 10
        r = {"address": self.next, "bytes": size, "alloc": self.now, "free": None, "category": category, "thread": thread,
             "line": line}
        self.next += size
        self.rows.append(r)
        if kind:
            self.live[kind].append(r)
        self.peak = max(self.peak, (self.total(), self.now), key=lambda p: p[0])
        return r

    def drop(self, r, kind=None):
        self.now += 10
        r["free"] = self.now
        if kind:
            self.live[kind].remove(r)

    def phase(self, name, iteration):
        self.now += 10
        self.truth.append({"what": "phase", "name": name, "iteration": iteration, "t": self.now, "allocated": self.total(),
                           **{k: [(r["address"], r["bytes"]) for r in v] for k, v in self.live.items()}})


def training():
    run = Run()
    for i in range(LAYERS):
        run.make(4 * MIB, "parameter", kind="P", line=5)
    run.phase("setup", -1)
    for it in range(ITERATIONS):
        run.make(MIB, "input", line=8)
        activations = [run.make(6 * MIB, "activation", line=11 + i) for i in range(LAYERS)]
        run.phase("forward", it)
        for a in reversed(activations):
            run.make(4 * MIB, "gradient", thread=2, kind="G")
            run.drop(a)
        run.phase("backward", it)
        for i in range(LAYERS if it == 0 else 0):
            run.make(8 * MIB, "optimizer_state", kind="O", line=40)
        run.drop(run.make(2 * MIB, "temporary", line=40))
        run.phase("optimizer", it)
        for g in list(run.live["G"]):
            run.drop(g, "G")
        run.drop(next(r for r in run.rows if r["category"] == "input" and r["free"] is None))
        run.phase("zero_grad", it)
    run.truth.append({"what": "end", "t": run.now, "allocated": run.total(), "max_allocated": run.peak[0], "max_reserved": 0})
    return run


def at_peak(run):
    """SQL that sums up the rows live at the peak again."""
    return ("DELETE FROM at_peak; INSERT INTO at_peak SELECT 1, 0, 'sub', 'torch', category, NULL, NULL, SUM(bytes), COUNT(*) FROM "
            f"allocation WHERE alloc_ts_ns <= {run.peak[1]} AND (free_ts_ns IS NULL OR free_ts_ns > {run.peak[1]}) GROUP BY category")


def write(folder, run, spoil=""):
    """The database of the run; spoil: SQL that makes something in it wrong."""
    path = os.path.join(folder, "run.db")
    if os.path.exists(path):
        os.unlink(path)
    db = sqlite3.connect(path)
    db.executescript(open(SCHEMA).read())
    db.execute("INSERT INTO process (id, pid, rank) VALUES (1, 77, 0)")
    db.executemany("INSERT INTO thread (id, process_id, tid, name) VALUES (?, 1, ?, ?)",
                   [(1, 77, "python3"), (2, 78, "pt_autograd_0")])
    db.executemany("INSERT INTO frame (id, process_id, file, function, line, library) VALUES (?, 1, ?, ?, ?, ?)",
                   [(n, PROGRAM, "main", n, 0) for n in range(1, 100)] + [(100, LIBRARY, "Linear.forward", 7, 1)])
    db.executemany("INSERT INTO stack (id, process_id, parent_id, frame_id, line_frame_id) VALUES (?, 1, ?, ?, ?)",
                   [(n, None, n, n) for n in range(1, 100)] + [(100 + n, n, 100, n) for n in range(1, 100)])
    for i, r in enumerate(run.rows):
        db.execute("INSERT INTO allocation (id, process_id, device, level, source, address, bytes, alloc_ts_ns, free_ts_ns, "
                   "alloc_thread_id, free_thread_id, imported, flags, category, stack_id) VALUES "
                   "(?, 1, 0, 'sub', 'torch', ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)",
                   (i + 1, r["address"], r["bytes"], r["alloc"], r["free"], r["thread"], 1 if r["free"] else None, r["category"],
                    100 + r["line"] if r["thread"] == 1 else None))
    db.execute("INSERT INTO peak_data VALUES (1, 0, 'sub', ?, ?, 0, 1, 1, NULL)", run.peak)
    db.executemany("INSERT INTO account_data VALUES (1, 0, 5, ?, ?)", [("driver_used", 8192 * MIB), ("remainder", 40 * MIB),
                                                                       ("framework_live", 8152 * MIB), ("other_processes", None)])
    db.executescript(at_peak(run))
    db.executescript(spoil)
    db.commit()
    db.close()
    return path


def truth_file(folder, run):
    path = os.path.join(folder, "truth.rank0")
    with open(path, "w") as f:
        f.writelines(json.dumps(t) + "\n" for t in run.truth)
    return path


def history_file(folder, run):
    path = os.path.join(folder, "history.rank0")
    entries = [{"action": "alloc", "addr": r["address"], "size": r["bytes"] - 100, "frames": [
        {"filename": LIBRARY, "name": "forward", "line": 7}, {"filename": PROGRAM, "name": "main", "line": r["line"]}]
        if r["thread"] == 1 else []} for r in run.rows]
    with gzip.open(path, "wb") as f:
        pickle.dump({"device_traces": [entries]}, f)
    return path


def main():
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        run = training()
        truth, history = truth_file(folder, run), history_file(folder, run)

        def expect(status, checker, what, spoil="", *options):
            nonlocal failed, count
            db = write(folder, run, spoil)
            files = {"categories": [db, truth], "lines": [db, truth, history], "account": [db]}[checker]
            r = subprocess.run([sys.executable, f"{HERE}/check_{checker}.py", "-v", *options, *files], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            count += 1
            if r.returncode != status:
                failed += 1
                print(f"{checker}: {what}: exit status {r.returncode}, expected {status}\n{r.stdout}")

        relabel = ("UPDATE allocation SET category = '{}' WHERE id IN "
                   "(SELECT id FROM allocation WHERE category = '{}' ORDER BY id LIMIT {})").format
        again = ";" + at_peak(run)
        expect(0, "categories", "all right")
        expect(0, "categories", "as right, with the Python line", "", "--history", history)
        expect(1, "categories", "activations called gradients", relabel("gradient", "activation", 2) + again)
        expect(1, "categories", "a gradient called activation", relabel("activation", "gradient", 3) + again)
        expect(1, "categories", "optimizer state called parameter", relabel("parameter", "optimizer_state", 1) + again)
        expect(1, "categories", "optimizer state not known", relabel("unknown", "optimizer_state", 1) + again)
        expect(0, "categories", "the same, or unknown", relabel("unknown", "optimizer_state", 1) + again, "--or-unknown")
        expect(1, "categories", "wrong, or unknown", relabel("parameter", "optimizer_state", 1) + again, "--or-unknown")
        expect(1, "categories", "activations not known", relabel("unknown", "activation", 4) + again)
        expect(0, "categories", "activations called temporary", relabel("temporary", "activation", 4) + again)
        expect(1, "categories", "a row without a category", "UPDATE allocation SET category = NULL WHERE id = 30" + again)
        expect(1, "categories", "a row too few", "DELETE FROM allocation WHERE id = 90" + again)
        expect(1, "categories", "a peak that does not add up",
               "UPDATE at_peak SET bytes = bytes + 1 WHERE category = 'activation'")
        expect(1, "categories", "a peak with other categories than its rows",
               "UPDATE at_peak SET bytes = bytes + 512 WHERE category = 'activation'; "
               "UPDATE at_peak SET bytes = bytes - 512 WHERE category = 'parameter'")
        expect(1, "categories", "a timeline that does not add up",
               "INSERT INTO timeline_category VALUES (1, 0, 2000, 9, 2005, 'unknown', 7)")
        expect(2, "categories", "another process", "UPDATE process SET pid = 78")
        expect(0, "lines", "all right")
        expect(1, "lines", "another line", "UPDATE allocation SET stack_id = 199 WHERE id IN (21, 22, 23, 24)")
        expect(1, "lines", "no line", "UPDATE allocation SET stack_id = NULL WHERE id IN (21, 22, 23, 24)")
        expect(1, "lines", "another file", "UPDATE frame SET file = '/home/me/other.py' WHERE line = 5")
        expect(1, "lines", "the library's line in the view", "UPDATE stack SET line_frame_id = 100 WHERE id > 100")
        expect(2, "lines", "another process", "UPDATE process SET pid = 78")
        expect(0, "account", "40 MiB of 8 GiB")
        scale = "UPDATE account_data SET bytes = {} WHERE owner = '{}'".format
        expect(1, "account", "40 MiB of 2 GiB", scale(2048 * MIB, "driver_used") + ";" + scale(2008 * MIB, "framework_live"))
        expect(1, "account", "minus 90 MiB", scale(-90 * MIB, "remainder") + ";" + scale(8282 * MIB, "framework_live"))
        expect(1, "account", "it does not add up", scale(8152 * MIB + 1, "framework_live"))
        expect(1, "account", "no remainder", "DELETE FROM account_data WHERE owner = 'remainder'")
        expect(2, "account", "none", "DELETE FROM account_data")
    print(f"{count - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
