# SPDX-License-Identifier: MIT
# Reads what the checkers need: PyTorch's allocations of a recording, and what a program wrote about itself (programs/truth.py).
# It only reads, and it decides nothing.
import bisect, collections, gzip, json, sqlite3

LETTERS = {"parameter": "P", "gradient": "G", "optimizer_state": "O", "unsharded_parameter": "U", "unsharded_gradient": "UG",
           "input": "I", "unknown": "?", None: "?"}
Row = collections.namedtuple("Row", "id address bytes alloc free category thread free_thread thread_id stack_id")


def connect(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = lambda b: b.decode("utf-8", "replace")
    return db


def has(db, table, column=None):
    columns = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
    return bool(columns) if column is None else column in columns


def torch_rows(db, process, device=None):
    """In the order of allocation; of one device, or of all GPUs."""
    stack = "a.stack_id" if has(db, "allocation", "stack_id") else "NULL"
    where = "a.device IS NOT NULL" if device is None else f"a.device = {int(device)}"
    sql = ("SELECT a.id, a.address, a.bytes, a.alloc_ts_ns, a.free_ts_ns, a.category, t.name, f.name, a.alloc_thread_id, "
           f"{stack} FROM allocation a LEFT JOIN thread t ON t.id = a.alloc_thread_id "
           f"LEFT JOIN thread f ON f.id = a.free_thread_id "
           f"WHERE a.process_id = ? AND a.source = 'torch' AND {where} ORDER BY a.alloc_ts_ns")
    return [Row(*r) for r in db.execute(sql, (process,))]


def process_of(db, pid, rank):
    found = db.execute("SELECT id FROM process WHERE pid = ? ORDER BY id", (pid,)).fetchall()
    if len(found) > 1:
        found = db.execute("SELECT id FROM process WHERE pid = ? AND COALESCE(rank, 0) = ?", (pid, rank)).fetchall()
    return found[0][0] if found else None


def live_at(rows, moments, key):
    """{moment: Counter of key(row) -> bytes} of the rows live at each moment; a row freed at a moment is not."""
    events = sorted([(r.alloc, 1, r) for r in rows] + [(r.free, -1, r) for r in rows if r.free is not None],
                    key=lambda e: (e[0], e[1]))
    now, out, i = collections.Counter(), {}, 0
    for moment in sorted(set(moments)):
        while i < len(events) and events[i][0] <= moment:
            now[key(events[i][2])] += events[i][1] * events[i][2].bytes
            i += 1
        out[moment] = +now
    return out


def peak(rows):
    """(bytes, moment) at which the most was live."""
    events = sorted([(r.alloc, r.bytes) for r in rows] + [(r.free, -r.bytes) for r in rows if r.free is not None])
    live = best = at = 0
    for ts, change in events:
        live += change
        if live > best:
            best, at = live, ts
    return best, at


class Places:
    """Which row a pointer lay in at a moment."""

    def __init__(self, rows):
        self.at = collections.defaultdict(list)
        for r in rows:  # rows of one address follow each other in time
            self.at[r.address].append(r)
        self.allocs = {a: [r.alloc for r in of] for a, of in self.at.items()}
        self.addresses = sorted(self.at)
        self.longest = max((r.bytes for r in rows), default=0)

    def _exact(self, address, t):
        i = bisect.bisect_right(self.allocs[address], t) - 1
        if i >= 0:
            r = self.at[address][i]
            if r.free is None or r.free > t:
                return r
        return None

    def find(self, pointer, t):
        i = bisect.bisect_right(self.addresses, pointer) - 1
        while i >= 0 and self.addresses[i] > pointer - max(self.longest, 1):
            r = self._exact(self.addresses[i], t)
            if r:  # live blocks do not overlap: the nearest live one below is the only candidate
                return r if pointer < r.address + r.bytes else None
            i -= 1
        return None


class Truth:
    """One process's lines. phases: (name, iteration, t, allocated, {kind: [(pointer, bytes)]}) with every kind filled in."""

    def __init__(self, path):
        self.path, self.start, self.end, self.skipped = path, {}, {}, None
        self.phases, self.births, self.unsharded, self.inputs = [], [], [], []
        live = {k: [] for k in "PUGO"}
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as f:
            for line in f:
                try:
                    r = json.loads(line)
                except ValueError:  # the last line of a killed process
                    break
                what = r["what"]
                if what == "phase":
                    live = {k: [tuple(s) for s in r[k]] if k in r else live[k] for k in live}
                    self.phases.append((r["name"], r["iteration"], r["t"], r["allocated"], live))
                elif what in ("birth", "unsharded", "input"):
                    {"birth": self.births, "unsharded": self.unsharded, "input": self.inputs}[what].append(
                        (r["t"], r["at"], r["bytes"]))
                elif what == "start":
                    self.start = r
                elif what == "end":
                    self.end = r
                elif what == "skip":
                    self.skipped = r["reason"]

    def labels(self, rows):
        """{row id: P O G UG U I}: what the program says about rows; without a label it says nothing. Also the pointers that
        lie in no row."""
        places, labels, lost = Places(rows), {}, 0
        order = {"P": 0, "O": 1, "G": 2, "UG": 3, "U": 4, "I": 5}

        def put(kind, pointer, t):
            nonlocal lost
            r = places.find(pointer, t)
            if r is None:
                lost += 1
            elif r.id not in labels or order[kind] < order[labels[r.id]]:
                labels[r.id] = kind

        for _, _, t, _, live in self.phases:
            for kind, storages in live.items():
                for pointer, _ in storages:
                    put(kind, pointer, t)
        for kind, seen in (("G", self.births), ("UG", self.unsharded), ("I", self.inputs)):
            for t, pointer, _ in seen:
                put(kind, pointer, t)
        return labels, lost
