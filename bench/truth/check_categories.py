# SPDX-License-Identifier: MIT
# Are the categories of a recording what the program says its memory was?
#   python3 check_categories.py [-v] [--or-unknown] [--json FILE] [--name NAME] [--history PICKLE] DB TRUTH.jsonl.rank0...
# Per process, at the peak and at the end of each phase: parameters, gradients and optimizer state within 2 % of the truth,
# bytes with a wrong label at most 1 % of the peak, unknown at most 3 %, and categories that add up to the live bytes exactly.
# --or-unknown: right or unknown is enough (the 2 % and 3 % are shown, and do not fail). -v lists what is wrong, largest first.
# Exit status 1: a bound is broken. 2: there is nothing to compare.
import argparse, bisect, collections, json, os, sys
from recording import LETTERS, Row, Truth, connect, has, live_at, peak, process_of, torch_rows

KINDS = {"P": "parameter", "G": "gradient", "O": "optimizer_state"}
BOUND_KIND, BOUND_WRONG, BOUND_UNKNOWN = 2.0, 1.0, 3.0
HEAD = ("program", "rank", "peak GiB", "P %", "G %", "O %", "wrong %", "unknown %", "sums", "iterations", "phases %",
        "edge ms", "verdict")
WIDTH = (17, 4, 9, 7, 7, 7, 8, 9, 7, 10, 8, 8, 0)


def line(cells):
    return "  ".join(str(c).ljust(w) if i == 0 or not w else str(c).rjust(w) for i, (c, w) in enumerate(zip(cells, WIDTH))).rstrip()


def letter(row):
    return LETTERS.get(row.category, "-")


def is_wrong(ours, truth):
    """Buffers count as parameters; what FSDP gathers is neither a parameter nor a gradient; unknown is never wrong."""
    if ours == "?" or ours == truth:
        return False
    return ours in KINDS or truth in KINDS


def percent(part, whole):
    return 100.0 * part / whole if whole else (0.0 if not part else float("inf"))


class Check:
    def __init__(self, db, truth, lenient):
        self.db, self.truth, self.lenient, self.problems = db, truth, lenient, []
        self.process = process_of(db, truth.start.get("pid"), truth.start.get("rank", 0))
        self.device = truth.start.get("device", 0)
        self.rows = torch_rows(db, self.process, self.device) if self.process is not None else []
        self.labels, self.lost = truth.labels(self.rows)
        self.peak_bytes, self.peak_ts = peak(self.rows)
        moments = [(self.peak_ts, "peak", None, None)] + [(p[2], p[0], p[1], p) for p in truth.phases]
        live = live_at(self.rows, [m[0] for m in moments], lambda r: (letter(r), self.labels.get(r.id)))
        self.moments = [(ts, name, it, p, live[ts]) for ts, name, it, p in moments]

    def problem(self, text):
        self.problems.append(text)

    def kinds(self):
        """Worst deviation per kind, over the peak and the phases: from the blocks that hold the program's storages. The
        allocator hands out up to 1 MiB more than a tensor needs, and counts it as allocated; so do we."""
        worst = {k: (0.0, "") for k in KINDS}
        largest = {k: max((sum(b for (_, t), b in m[4].items() if t == k) for m in self.moments), default=0) for k in KINDS}
        self.table = []
        for ts, name, it, p, live in self.moments:
            cells = []
            for k in KINDS:
                ours = sum(b for (o, _), b in live.items() if o == k)
                says = sum(b for (_, t), b in live.items() if t == k)
                off = percent(abs(ours - says), says or largest[k] or self.peak_bytes)
                cells.append((k, ours, says, off))
                if off > worst[k][0]:
                    storages = sum(b for _, b in p[4][k]) if p else says
                    worst[k] = (off, f"{where(name, it)}: {ours:,} bytes, the program says {storages:,}, in blocks of {says:,}")
            self.table.append((name, it, cells, live))
        for k, (off, at) in worst.items():
            if off > BOUND_KIND and not self.lenient:
                self.problem(f"{KINDS[k]} is {off:.2f} % off {at}")
        return {k: worst[k][0] for k in KINDS}

    def wrong(self):
        worst, unknown = (0.0, ""), (0.0, "")
        for ts, name, it, p, live in self.moments:
            w = percent(sum(b for (o, t), b in live.items() if is_wrong(o, t)), self.peak_bytes)
            u = percent(sum(b for (o, _), b in live.items() if o == "?"), self.peak_bytes)
            worst, unknown = max(worst, (w, where(name, it))), max(unknown, (u, where(name, it)))
        if worst[0] > BOUND_WRONG:
            self.problem(f"wrong labels on {worst[0]:.2f} % of the peak {worst[1]}")
        if unknown[0] > BOUND_UNKNOWN and not self.lenient:
            self.problem(f"unknown is {unknown[0]:.2f} % of the peak {unknown[1]}")
        return worst[0], unknown[0]

    def sums(self):
        """Every sum of categories against the live bytes of the same moment, to the byte."""
        before = len(self.problems)
        for ts, name, it, p, live in self.moments:
            if p and p[3] != sum(live.values()):
                self.problem(f"{sum(live.values())} bytes are live {where(name, it)}, the program says {p[3]}")
        if self.truth.end and self.truth.end.get("max_allocated") != self.peak_bytes:
            self.problem(f"the peak is {self.peak_bytes}, the program says {self.truth.end.get('max_allocated')}")
        missing = sum(r.category is None for r in self.rows)
        if missing:
            self.problem(f"{missing} rows have no category")
        self.stored_sums()
        return len(self.problems) == before

    def stored_sums(self):
        sub = "process_id = ? AND device = ?", (self.process, self.device)
        rows = self.sub_rows()
        groups = {}
        if has(self.db, "breakdown_at_peak"):
            at = self.db.execute(f"SELECT peak_bytes, peak_ts_ns FROM peak_data WHERE series = 'sub' AND {sub[0]}",
                                 sub[1]).fetchone()
            got = dict(self.db.execute(f"SELECT category, bytes FROM breakdown_at_peak WHERE {sub[0]}", sub[1]).fetchall())
            if at:
                groups["breakdown_at_peak", at[1]] = got
                if sum(got.values()) != at[0]:
                    self.problem(f"breakdown_at_peak adds up to {sum(got.values())}, the peak is {at[0]}")
        else:
            self.problem("there is no view breakdown_at_peak")

        def stored(table, sql):
            for ts, category, size in self.db.execute(sql, sub[1]):
                group = groups.setdefault((table, ts), {})
                group[category] = size

        if has(self.db, "timeline_category"):
            stored("timeline_category", f"SELECT at_ns, category, bytes FROM timeline_category WHERE {sub[0]}")
        if has(self.db, "phase_memory"):
            stored("phase_memory (peak)", f"SELECT peak_ts_ns, category, peak_bytes FROM phase_memory WHERE {sub[0]}")
            stored("phase_memory (end)", "SELECT f.end_ns, m.category, m.end_bytes FROM phase_memory m JOIN phase f "
                   "ON f.id = m.phase_id WHERE m.process_id = ? AND m.device = ? AND f.end_ns IS NOT NULL")
        live = live_at(rows, [ts for _, ts in groups], lambda r: r.category or "unknown")
        differ = collections.Counter()
        for (table, ts), got in groups.items():
            if sum(got.values()) != sum(live[ts].values()):
                differ[table, "adds up to other bytes than are live"] += 1
            elif {k: v for k, v in got.items() if v} != dict(live[ts]):
                differ[table, "has other categories than its rows"] += 1
        for (table, what), n in sorted(differ.items()):
            self.problem(f"{table} {what} at {n} of {sum(t == table for t, _ in groups)} moments")

    def sub_rows(self):
        sql = ("SELECT id, address, bytes, alloc_ts_ns, free_ts_ns, category, NULL, NULL, NULL, NULL FROM allocation "
               "WHERE process_id = ? AND device = ? AND level = 'sub' AND NOT flags & 32 ORDER BY alloc_ts_ns")
        return [Row(*r) for r in self.db.execute(sql, (self.process, self.device))]

    def phases(self):
        """Shown, never failed: how many iterations were found, the share of allocations in forward, backward and optimizer that
        were put into that phase of that iteration, and how far the ends of such phases are off."""
        ours = self.db.execute("SELECT begin_ns, COALESCE(end_ns, 1 << 62), name, iteration FROM phase WHERE process_id = ? "
                               "AND iteration IS NOT NULL ORDER BY begin_ns, id", (self.process,)).fetchall()
        begins, clock = [o[0] for o in ours], Clock(self.truth)
        found, real = len({o[3] for o in ours}), len({p[1] for p in self.truth.phases if p[1] >= 0})
        got, edges, right, total, self.phase_notes = collections.defaultdict(collections.Counter), [], 0, 0, []
        for r in self.rows:
            name, iteration, _ = clock.phase(r.alloc)
            if name in ("forward", "backward", "optimizer"):
                i = bisect.bisect_right(begins, r.alloc) - 1
                inside = i >= 0 and r.alloc <= ours[i][1]
                got[name, iteration][ours[i][2:] if inside else ("none", "")] += 1
        for truth, counts in got.items():
            right, total = right + counts[truth], total + sum(counts.values())
            if counts[truth] < 0.9 * sum(counts.values()):
                found_as = ", ".join(f"{n} {it} x{c}" for (n, it), c in counts.most_common())
                self.phase_notes.append(f"{truth[0]} {truth[1]} is {found_as}")
        for name, iteration, t, *_ in self.truth.phases:
            ends = [abs(o[1] - t) / 1e6 for o in ours if o[2:] == (name, iteration)]
            if ends:
                edges.append(min(ends))
        return f"{found}/{real}", f"{100 * right / total:.1f}" if total else "-", f"{max(edges):.2f}" if edges else "-"


def where(name, iteration):
    if name == "peak":
        return "at the peak"
    return f"after {name}" + (f" {iteration}" if iteration is not None and iteration >= 0 else "")


# ---- what is wrong, for people ----

class Clock:
    """Names a moment by the program's own phases: 'backward 3 .41' is 41 % into the backward of iteration 3."""

    def __init__(self, truth):
        self.phases, self.ends = truth.phases, [p[2] for p in truth.phases]

    def phase(self, ts):
        if ts is None:
            return "never", None, 0.0
        i = bisect.bisect_left(self.ends, ts)
        if i >= len(self.phases):
            return "after the loop", None, 0.0
        begin = self.ends[i - 1] if i else ts
        return self.phases[i][0], self.phases[i][1], (ts - begin) / max(self.ends[i] - begin, 1)


def span(values):
    values = sorted({v for v in values if v is not None})
    return "" if not values else f" {values[0]}" if len(values) == 1 else f" {values[0]}..{values[-1]}"


def spread(values):
    return f".{int(99 * min(values)):02d}-.{int(99 * max(values)):02d}"


def pieces(check, rows, lines, limit):
    """Equal pieces of different iterations are one line."""
    clock, groups = Clock(check.truth), collections.defaultdict(list)
    for r in rows:
        a, f = clock.phase(r.alloc), clock.phase(r.free)
        lives = "" if r.free is None or None in (a[1], f[1]) else f"+{f[1] - a[1]}"
        groups[letter(r), r.category, check.labels.get(r.id), r.bytes, a[0], f[0], lives, r.thread, r.free_thread,
               lines.get(r.id, "")].append((r, a, f))
    order = sorted(groups.items(), key=lambda g: -g[0][3] * len(g[1]))
    for (_, category, truth, size, alloc, free, lives, thread, free_thread, at), members in order[:limit]:
        at_peak = sum(r.alloc <= check.peak_ts and (r.free is None or r.free > check.peak_ts) for r, _, _ in members)
        first = members[0][0]
        print(f"    {size:>12,} B x{len(members):<4} ours {category or 'NULL':<19} truth {truth or '-':<2} "
              f"alloc {alloc}{span(m[1][1] for m in members)} {spread([m[1][2] for m in members])} {thread} | "
              f"free {free}{span(m[2][1] for m in members)} {spread([m[2][2] for m in members])} {lives} {free_thread or ''} | "
              f"at peak {at_peak} | row {first.id} 0x{first.address:x}{' | ' + at if at else ''}")
    if len(order) > limit:
        rest = order[limit:]
        print(f"    and {len(rest)} more groups, {sum(g[0][3] * len(g[1]) for g in rest):,} B")


def verbose(check, lines, limit):
    print("  bytes, ours (truth), where they differ by more than 0.1 %:")
    for name, it, cells, live in check.table:
        if any(off > 0.1 for *_, off in cells) or name == "peak":
            print(f"    {where(name, it):<22}" + "  ".join(f"{KINDS[k]} {o:,} ({t:,})" for k, o, t, _ in cells))
    at = max(check.moments, key=lambda m: sum(b for (o, t), b in m[4].items() if is_wrong(o, t)))
    shown = [("peak", None, check.moments[0][4])]
    if at is not check.moments[0]:
        shown.append((at[1], at[2], at[4]))
    for name, it, live in shown:
        print(f"  ours / truth {where(name, it)}: " + ", ".join(f"{o}/{t or '-'} {b:,}" for (o, t), b in live.most_common()))
    by = collections.Counter()
    for r in check.rows:
        if r.alloc <= check.peak_ts and (r.free is None or r.free > check.peak_ts):
            by[r.category] += r.bytes
    print("  categories at the peak: " + ", ".join(f"{c} {b:,}" for c, b in by.most_common()))
    wrong = [r for r in check.rows if is_wrong(letter(r), check.labels.get(r.id))]
    print(f"  wrong pieces: {len(wrong)}, {sum(r.bytes for r in wrong):,} B")
    pieces(check, wrong, lines, limit)
    unknown = [r for r in check.rows if letter(r) == "?"]
    print(f"  unknown pieces: {len(unknown)}, {sum(r.bytes for r in unknown):,} B")
    pieces(check, unknown, lines, limit)
    if check.truth.inputs:
        inputs = [r for r in check.rows if check.labels.get(r.id) == "I"]
        print("  inputs are: " + ", ".join(f"{c} x{n}" for c, n in collections.Counter(r.category for r in inputs).most_common()))
    for note in check.phase_notes[:limit]:
        print("  phase " + note)
    if check.lost:
        print(f"  {check.lost} storages of the program lie in no row")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("db")
    p.add_argument("truth", nargs="+")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--or-unknown", action="store_true")
    p.add_argument("--history", help="PyTorch's memory history of the same run: adds the Python line to -v (one truth file)")
    p.add_argument("--limit", type=int, default=25, help="groups that -v lists")
    p.add_argument("--json", help="the results, one JSON array")
    p.add_argument("--name", help="of the program (default: the database's)")
    a = p.parse_args()
    db, name = connect(a.db), a.name or os.path.splitext(os.path.basename(a.db))[0]
    print(line(HEAD))
    results, bad = [], 0
    for path in a.truth:
        truth = Truth(path)
        if truth.skipped:
            print(line((name, truth.start.get("rank", 0)) + ("-",) * 10 + ("skipped: " + truth.skipped,)))
            results.append({"program": name, "rank": truth.start.get("rank", 0), "skipped": truth.skipped})
            continue
        check = Check(db, truth, a.or_unknown)
        if check.process is None or not check.rows or len(truth.phases) < 2:
            print(line((name, truth.start.get("rank", "?")) + ("-",) * 10 + (f"nothing to compare in {path}",)))
            bad = 2
            continue
        kinds, (wrong, unknown), exact = check.kinds(), check.wrong(), check.sums()
        iterations, named, edge = check.phases()
        bad = max(bad, int(bool(check.problems)))
        print(line((name, truth.start["rank"], f"{check.peak_bytes / 2**30:.3f}", *(f"{kinds[k]:.2f}" for k in KINDS),
                    f"{wrong:.2f}", f"{unknown:.2f}", "exact" if exact else "DIFFER", iterations, named, edge,
                    "FAIL" if check.problems else "ok")))
        for text in check.problems:
            print("    FAIL", text)
        if a.verbose:
            lines = {}
            if a.history:
                from history import lines_of_rows
                lines = lines_of_rows(a.history, check.rows)
            verbose(check, lines, a.limit)
        results.append({"program": name, "rank": truth.start["rank"], "peak_bytes": check.peak_bytes, **kinds, "wrong": wrong,
                        "unknown": unknown, "exact": exact, "iterations": iterations, "phases": named, "edge_ms": edge,
                        "problems": check.problems})
    if a.json:
        json.dump(results, open(a.json, "w"), indent=1)
    sys.exit(bad)


if __name__ == "__main__":
    main()
