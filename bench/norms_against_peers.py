# SPDX-License-Identifier: MIT
# Puts what `vramscope bench norms --json` measured beside bench/norm_peers.py, cell by cell: both from one machine, one after the
# other, inputs rotated. Prints a table and the figures of each element type; exits 1 when there is no common cell.
#   python bench/norms_against_peers.py OURS.json... --peers peers.csv [--ceiling bf16=828,tf32=435,fp32=50.8] [--out result.json]
# Ours is the device time of `auto`; the peer is the fastest of all of them, replayed from a graph or called, whichever is less.
# floor: the fewest operations any known algorithm needs, over --ceiling in TFLOP/s (what the vendor's own square products reach).
# Rows of a model's layers (--layers gpt2-large) are compared with the sum of the fastest peers of each layer.
import argparse, collections, csv, json, math, sys

p = argparse.ArgumentParser()
p.add_argument("ours", nargs="+")
p.add_argument("--peers", required=True)
p.add_argument("--ceiling", default="bf16=828,fp16=828,tf32=435,fp32=50.8")
p.add_argument("--algo", default="auto")
p.add_argument("--out", default="")
a = p.parse_args()
ceiling = {k: float(v) * 1e12 for k, v in (x.split("=") for x in a.ceiling.split(","))}
MODELS = {"gpt2-large": [(36, 1280, 3840), (36, 1280, 1280), (36, 1280, 5120), (36, 5120, 1280)],
          "gpt2-large-split": [(144, 1280, 1280), (36, 1280, 5120), (36, 5120, 1280)]}


def require(names, columns, where):
    for name in names.split(","):
        if name not in columns:
            sys.exit(f"norms_against_peers: {where} has no column '{name}'")


def number(text):
    return float(text) if text not in ("", None) else None


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def floor_ms(dtype, B, T, d, w):
    return 1e3 * min(B * T * (T + 128) * (d + w), 2 * B * T * d * w) / ceiling[dtype]


peers, called = {}, {}  # cell -> (ms, name): the fastest of both ways; the fastest call with its launches
with open(a.peers, newline="") as f:
    reader = csv.DictReader(f)
    require("algo,dtype,B,T,d,p,eager_ms,graph_ms", reader.fieldnames or [], a.peers)
    for r in reader:
        if r["algo"] == "dw_only":
            continue  # the gradient alone: it gives no norms
        cell = (r["dtype"], int(r["B"]), int(r["T"]), int(r["d"]), int(r["p"]))
        eager, graph = number(r["eager_ms"]), number(r["graph_ms"])
        best = min(x for x in (eager, graph) if x is not None)
        peers[cell] = min(peers.get(cell, (math.inf, "")), (best, r["algo"]))
        called[cell] = min(called.get(cell, (math.inf, "")), (eager, r["algo"]))
rows = []
for name in a.ours:
    with open(name) as f:
        for r in json.load(f):
            require("algo,status,preset,grouping,dtype,B,T,d,p,median_ms,call_ms,choice,temp_bytes,rel_err", r, name)
            if r["algo"] == a.algo and r["status"] == "ok":
                rows.append(r)

cells, models = [], []
for r in rows:
    if r["preset"]:
        if r["grouping"] != "grouped" or r["preset"] not in MODELS:
            continue
        shapes = [(n, (r["dtype"], r["B"], r["T"], d, w)) for n, d, w in MODELS[r["preset"]]]
        if all(c in peers for _, c in shapes):
            models.append({"layers": r["preset"], "dtype": r["dtype"], "B": r["B"], "T": r["T"], "device_ms": r["median_ms"],
                           "call_ms": r["call_ms"], "peer_device_ms": sum(n * peers[c][0] for n, c in shapes),
                           "peer_call_ms": sum(n * called[c][0] for n, c in shapes),
                           "floor_ms": sum(n * floor_ms(*c) for n, c in shapes)})
        continue
    cell = (r["dtype"], r["B"], r["T"], r["d"], r["p"])
    if cell in peers:
        cells.append({"dtype": cell[0], "B": cell[1], "T": cell[2], "d": cell[3], "p": cell[4], "ms": r["median_ms"],
                      "choice": r["choice"], "temp_bytes": r["temp_bytes"], "rel_err": r["rel_err"], "floor_ms": floor_ms(*cell),
                      "peer": peers[cell][1], "peer_ms": peers[cell][0]})
if not cells and not models:
    sys.exit("norms_against_peers: no cell is in both; run both with the same --dtype, --B, --T, --d and --p")

summary = collections.OrderedDict()
print(f"{'dtype':5} {'B':>2} {'T':>6} {'d':>5} {'p':>5} {'ours ms':>9} {'/floor':>7} {'/peer':>6} {'error':>8} {'temp KiB':>8}  choice, fastest peer")
for c in sorted(cells, key=lambda c: (c["dtype"], c["T"], c["B"], c["d"], c["p"])):
    temp = f"{c['temp_bytes'] / 1024:8.0f}" if c["temp_bytes"] is not None else "       -"
    error = f"{c['rel_err']:8.1e}" if c["rel_err"] is not None else "       -"
    print(f"{c['dtype']:5} {c['B']:2} {c['T']:6} {c['d']:5} {c['p']:5} {c['ms']:9.4f} {c['ms'] / c['floor_ms']:7.2f} "
          f"{c['ms'] / c['peer_ms']:6.2f} {error} {temp}  {c['choice']}, {c['peer']}")
for dtype in dict.fromkeys(c["dtype"] for c in cells):
    mine = [c for c in cells if c["dtype"] == dtype]
    s = summary[dtype] = {"cells": len(mine), "geomean_of_floor": geomean([c["ms"] / c["floor_ms"] for c in mine]),
                          "peers_geomean_of_floor": geomean([c["peer_ms"] / c["floor_ms"] for c in mine])}
    for name, keep in (("T<=1024", lambda T: T <= 1024), ("T>=4096", lambda T: T >= 4096)):
        ratios = [c["ms"] / c["peer_ms"] for c in mine if keep(c["T"])]
        if ratios:
            s["worst_of_peer_" + name] = max(ratios)
    s["worst_error"] = max((c["rel_err"] for c in mine if c["rel_err"] is not None), default=None)
    s["most_temp_bytes"] = max((c["temp_bytes"] for c in mine if c["temp_bytes"] is not None), default=None)
    print(f"{dtype}: " + ", ".join(f"{k} {v:.4g}" if v is not None else f"{k} -" for k, v in s.items()))
for m in models:
    print(f"{m['layers']} {m['dtype']} B={m['B']} T={m['T']}: at once {m['device_ms']:.3f} ms, peers one by one {m['peer_device_ms']:.3f} "
          f"({m['peer_device_ms'] / m['device_ms']:.2f}x); with launches {m['call_ms']:.3f} against {m['peer_call_ms']:.3f} "
          f"({m['peer_call_ms'] / m['call_ms']:.2f}x); floor {m['floor_ms']:.3f}")
if a.out:
    with open(a.out, "w") as f:
        json.dump({"ceiling": a.ceiling, "algo": a.algo, "summary": summary, "cells": cells, "models": models}, f, indent=1)
