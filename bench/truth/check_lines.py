# SPDX-License-Identifier: MIT
# Do allocations carry the Python line that PyTorch's own memory history of the same run gives them?
#   python3 check_lines.py [-v] [--json FILE] [--name NAME] DB TRUTH.jsonl.rank0 HISTORY.rank0 [TRUTH HISTORY]...
# At least 99 % of the bytes allocated on the main thread: the innermost frame of the program's own code (else the innermost
# frame) has the same file, function and line. The whole chain of frames is compared too, and shown.
# Exit status 1: the bound is broken. 2: there is nothing to compare.
import argparse, collections, json, os, sys
from history import frames_of_rows, own_frame
from recording import Truth, connect, has, process_of, torch_rows

BOUND = 99.0
HEAD = (f"{'program':<17}  rank  main-thread rows       GiB  right line %  whole chain %  "
        "in no history %  other threads with frames  verdict")


class Stacks:
    """Chains of the recording, innermost first."""

    def __init__(self, db, process):
        sql = ("SELECT s.id, s.parent_id, f.file, f.function, f.line FROM stack s LEFT JOIN frame f ON f.id = s.frame_id "
               "WHERE s.process_id = ?")
        self.rows, self.known = {r[0]: r[1:] for r in db.execute(sql, (process,))}, {None: ()}

    def chain(self, i):
        todo, parts = i, []
        while todo not in self.known:
            parts.append(todo)
            todo = self.rows[todo][0] if todo in self.rows else None
        for part in reversed(parts):
            outer = self.known[self.rows[part][0]] if part in self.rows else ()
            self.known[part] = ((self.rows[part][1:],) if part in self.rows else ()) + outer
        return self.known[i]


def same(ours, theirs):
    """PyTorch gives a function's name with or without what it is nested in, by version."""
    if ours is None or theirs is None:
        return ours is theirs
    name = lambda f: (f or "").rsplit(".", 1)[-1]
    return ours[0] == theirs[0] and ours[2] == theirs[2] and name(ours[1]) == name(theirs[1])


def check(db, name, truth_path, history, verbose):
    truth = Truth(truth_path)
    process, device = process_of(db, truth.start.get("pid"), truth.start.get("rank", 0)), truth.start.get("device", 0)
    if process is None or not has(db, "allocation_line"):
        print(f"{name}: no process or no Python lines for {truth_path}")
        return None
    rows = torch_rows(db, process, device)
    main = {r[0] for r in db.execute("SELECT t.id FROM thread t JOIN process p ON p.id = t.process_id WHERE p.id = ? "
                                     "AND t.tid = p.pid", (process,))}
    theirs, disagree = frames_of_rows(history, rows, device)
    view = {r[0]: r[1:] for r in db.execute("SELECT allocation_id, file, function, line FROM allocation_line")}
    stacks, total, right, chains, absent, others = Stacks(db, process), 0, 0, 0, 0, 0
    wrong = collections.Counter()
    for r in rows:
        ours = stacks.chain(r.stack_id)
        if r.thread_id not in main:
            others += r.bytes if ours else 0
            continue
        if r.id not in theirs:
            absent += r.bytes
            continue
        total += r.bytes
        mine, real = own_frame([f for f in ours if f[0] is not None]), own_frame(theirs[r.id])
        viewed = view.get(r.id)
        if same(mine, real) and same(viewed, real):
            right += r.bytes
        else:
            wrong[str(mine), str(real), str(viewed)] += r.bytes
        chains += r.bytes if len(ours) == len(theirs[r.id]) and all(map(same, ours, theirs[r.id])) else 0
    share = lambda part, whole: 100.0 * part / whole if whole else 0.0
    result = {"program": name, "rank": truth.start.get("rank", 0), "bytes": total, "right": share(right, total),
              "chain": share(chains, total), "absent": share(absent, total + absent), "disagree": disagree}
    ok = total and result["right"] >= BOUND and result["absent"] <= 1
    result["verdict"] = "ok" if ok else "FAIL"
    print(f"{name:<17}  {result['rank']:>4}  {sum(r.thread_id in main for r in rows):>16}  {total / 2**30:>8.2f}  "
          f"{result['right']:>12.3f}  {result['chain']:>13.3f}  {result['absent']:>15.3f}  {others / 2**30:>22.2f} GiB  "
          f"{result['verdict']}")
    if disagree:
        print(f"    {disagree} rows are smaller than the history says: it is of another run, or did not begin in time")
    if verbose or not ok:
        for (mine, real, viewed), size in wrong.most_common(20):
            print(f"    {size:>15,} B  recorded {mine}  history {real}" + (f"  view {viewed}" if viewed != mine else ""))
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("db")
    p.add_argument("pairs", nargs="+", metavar="TRUTH HISTORY")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--json")
    p.add_argument("--name")
    a = p.parse_args()
    db, name = connect(a.db), a.name or os.path.splitext(os.path.basename(a.db))[0]
    print(HEAD)
    results = [check(db, name, *pair, a.verbose) for pair in zip(a.pairs[::2], a.pairs[1::2])]
    if a.json:
        json.dump([r for r in results if r], open(a.json, "w"), indent=1)
    sys.exit(2 if None in results else int(any(r["verdict"] != "ok" for r in results)))


if __name__ == "__main__":
    main()
