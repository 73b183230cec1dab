# SPDX-License-Identifier: MIT
# Takes from a recording the little that inference needs to be tried out elsewhere: per process PyTorch's allocator events in
# order, as NAME.rankN.csv.gz, and NCCL's calls, as NAME.rankN.coll.csv.gz. Times are CLOCK_MONOTONIC, as in the truth files.
#   python3 export.py DB PREFIX
import csv, gzip, sys
from recording import connect, torch_rows


def events(rows):
    """(time, row, +bytes | -bytes) in order."""
    out = [(r.alloc, r, r.bytes) for r in rows] + [(r.free, r, -r.bytes) for r in rows if r.free is not None]
    return sorted(out, key=lambda e: (e[0], e[2]))


def held(db, process):
    """(time, change) of the driver's blocks that PyTorch's pieces lie in."""
    blocks = db.execute("SELECT alloc_ts_ns, free_ts_ns, bytes FROM allocation WHERE process_id = ?1 AND level = 'held' AND id IN "
                        "(SELECT parent_id FROM allocation WHERE process_id = ?1 AND source = 'torch')", (process,)).fetchall()
    return sorted([(a, b) for a, _, b in blocks] + [(f, -b) for _, f, b in blocks if f is not None])


def write_events(db, process, path):
    rows = torch_rows(db, process)
    freeing = dict(db.execute("SELECT id, free_thread_id FROM allocation WHERE process_id = ? AND source = 'torch'", (process,)))
    names = dict(db.execute("SELECT id, name FROM thread WHERE process_id = ?", (process,)))
    blocks, numbers, allocated, reserved, i = held(db, process), {}, 0, 0, 0
    with gzip.open(path, "wt", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow("ts_ns address bytes allocated_total reserved_total thread thread_name".split())
        for ts, r, change in events(rows):
            while i < len(blocks) and blocks[i][0] <= ts:
                reserved += blocks[i][1]
                i += 1
            allocated += change
            thread = r.thread_id if change > 0 else freeing[r.id]
            out.writerow([ts, f"0x{r.address:x}", change, allocated, reserved, numbers.setdefault(thread, len(numbers)),
                          names.get(thread) or ""])
    return numbers


def write_collectives(db, process, numbers, path):
    calls = db.execute("SELECT begin_ns, op, send_address, recv_address, bytes, thread_id FROM collective WHERE process_id = ? "
                       "ORDER BY begin_ns, id", (process,)).fetchall()
    if not calls:
        return
    with gzip.open(path, "wt", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow("ts_ns op send_address recv_address bytes thread".split())
        for ts, op, send, recv, size, thread in calls:
            where = ["" if a is None else f"0x{a:x}" for a in (send, recv)]
            out.writerow([ts, op, *where, size, numbers.setdefault(thread, len(numbers))])


def export(path, prefix):
    db = connect(path)
    for process, rank in db.execute("SELECT id, COALESCE(rank, 0) FROM process WHERE id IN (SELECT process_id FROM allocation "
                                    "WHERE source = 'torch')").fetchall():
        numbers = write_events(db, process, f"{prefix}.rank{rank}.csv.gz")
        write_collectives(db, process, numbers, f"{prefix}.rank{rank}.coll.csv.gz")


if __name__ == "__main__":
    export(*sys.argv[1:3])
