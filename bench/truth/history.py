# SPDX-License-Identifier: MIT
# PyTorch's own memory history of a run (TRUTH_HISTORY of programs/truth.py), matched with the rows of a recording of that run: the
# n-th allocation at an address here is the n-th there. The history must begin before the first allocation.
import collections, gzip, pickle


def is_library(file):
    """Not the program's own code."""
    return file.startswith("<") or any(p in file for p in ("/site-packages/", "/dist-packages/", "/lib/python3", "/torchinductor_"))


def load(path):
    with gzip.open(path, "rb") as f:  # as programs/truth.py writes it
        return pickle.load(f)


def frames_of_rows(path, rows, device):
    """{row id: [(file, function, line), ...] innermost first}, and how many rows the history disagrees with."""
    history, frames, disagree = collections.defaultdict(list), {}, 0
    for e in load(path)["device_traces"][device]:
        if e["action"] == "alloc":
            history[e["addr"]].append(e)
    seen = collections.Counter()
    for r in rows:
        entries, i = history.get(r.address, []), seen[r.address]
        seen[r.address] += 1
        if i < len(entries) and entries[i]["size"] <= r.bytes:
            frames[r.id] = [(f["filename"], f["name"], f["line"]) for f in entries[i].get("frames", [])]
        elif i < len(entries):
            disagree += 1
    return frames, disagree


def own_frame(frames):
    """The innermost frame of the program's own code; else the innermost; None without frames."""
    return next((f for f in frames if not is_library(f[0])), frames[0] if frames else None)


def lines_of_rows(path, rows, device=0):
    own = {i: own_frame(f) for i, f in frames_of_rows(path, rows, device)[0].items()}
    return {i: f"{f[0].rsplit('/', 1)[-1]}:{f[2]} {f[1]}" for i, f in own.items() if f}
