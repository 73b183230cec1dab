# SPDX-License-Identifier: MIT
# Is every byte of a training experiment's breakdown where it must be? Reads the results and the recording of a folder of
# `vramscope suite`; standard library only.
#   python bench/train/breakdown.py [--build build] [--json F.json] RUN_FOLDER...
# Checked, to the byte: categories, the six parts, and components add up to the recorded peak; the workload's own count (the arena's
# peak, the peak it planned with, and what is live at every snapshot) is the recorder's; parameters are 4N bytes, or 8N in float64, and
# 2N more of rounded copies in bf16; Adam's states are twice the weights; N is what the sizes say; at every snapshot categories add up to
# its live bytes, and parameters and states are there. Gradients: 4N at every snapshot after_backward in the modes that hold all of them
# then, and none before forward or after the step. explicit and book-keeping make and apply them unit by unit inside the step: none
# then. At the peak gradients are at most 4N, or 8N in micro, where one sample's stand beside the sum. Exit status 1: anything is off.
import argparse, json, os, sys
from context import Context, MIB, results_of

PARTS = ("model_parameters_mb", "gradients_mb", "activation_hooks_mb", "norm_samples_mb", "temp_matrices_mb", "optimizer_states_mb")
UNIT_BY_UNIT = ("explicit", "book_keeping")
WEIGHT = {"fp64": 8, "fp32": 4, "tf32": 4, "bf16": 4}
LIVE = """SELECT s.name AS name, s.ts_ns AS ts_ns, a.category AS category, SUM(a.bytes) AS bytes FROM snapshot s JOIN allocation a
 ON a.process_id = s.process_id AND a.device IS s.device AND a.level = 'sub' AND a.flags & 32 = 0 AND a.alloc_ts_ns <= s.ts_ns
 AND (a.free_ts_ns IS NULL OR a.free_ts_ns > s.ts_ns) WHERE s.process_id = %d AND (s.device IS NULL) = %d AND s.name <> 'end of process' GROUP BY s.ts_ns, a.category
 ORDER BY s.ts_ns"""


def weights_of(c):
    """Weights of the model with these sizes. A preset's name says which of the two kinds it is, as the sizes do not."""
    V, h, L, T, ffn = (c[k] for k in ("vocab_size", "hidden_dim", "num_layers", "seq_len", "ffn_dim"))
    qkv = h * (h // c["num_heads"]) * (c["num_heads"] + 2 * c["num_kv_heads"])
    if (c["preset"] or "").startswith("llama"):
        return V * h + L * (qkv + h * h + 3 * h * ffn + 2 * h) + h  # the head is the token table
    return 2 * V * h + T * h + L * (qkv + h * h + 2 * h * ffn + 4 * h + ffn + h)


def live_at_snapshots(context, r):
    """[(name, {category: bytes})] in order."""
    found = {}
    for row in context.query(r["database"], LIVE % (r["process_id"], r["device"] == "cpu")):
        found.setdefault((row["ts_ns"], row["name"]), {})[row["category"]] = row["bytes"]
    return [(name, live) for (_, name), live in sorted(found.items())]


def check_peak(r, say):
    mb = lambda x: x * MIB if x is not None else None
    peak, b = r["peak_bytes"], r["breakdown"]
    say("categories", sum(r["categories"].values()), peak)
    say("six parts", sum(mb(b[k]) for k in PARTS), peak)
    say("components", sum(c["bytes"] for c in r["components"]), peak)
    say("peak_memory_mb", mb(r["peak_memory_mb"]), peak)
    say("peak_allocated_mb", mb(b["peak_allocated_mb"]), peak)
    say("arena's peak", r["arena"]["peak_bytes"], peak)
    say("planned peak", r["arena"]["predicted_peak_bytes"], peak)
    say("arena_mismatch", r["arena_mismatch"], False)
    say("losses of the recording", r["losses_of_recording"], None)


def check_formulas(r, say):
    N, W = weights_of(r["config"]), WEIGHT[r["dtype"]]
    rounded = sum(c["bytes"] for c in r["components"] if c["name"].startswith("parameter/") and c["name"].endswith(".rounded"))
    states = 2 * W * N if r["optimizer"] in ("adam", "adamw") else 0
    say("weights N", r["parameters"], N)
    say("rounded copies", rounded, 2 * N if r["dtype"] == "bf16" else 0)
    say("parameter", r["categories"].get("parameter", 0) - rounded, W * N)
    say("optimizer_state", r["categories"].get("optimizer_state", 0), states)
    return r["categories"].get("parameter", 0), states, W * N


def check_snapshots(r, moments, expected, say):
    parameters, states, gradients = expected
    private = r["semantics"] != "non_private"
    count = (4 if private else 2) + 4 * r["config"]["num_iter"]
    say("snapshots", len(r["snapshots"]), count)
    say("snapshots in the recording", [name for name, _ in moments], [s["name"] for s in r["snapshots"]])
    held = set()
    for s, (name, live) in zip(r["snapshots"], moments):
        say(f"{name}: live", s["allocated_mb"] * MIB, s["arena_bytes"])
        say(f"{name}: categories", sum(live.values()), s["arena_bytes"])
        say(f"{name}: parameter", live.get("parameter", 0), parameters)
        say(f"{name}: optimizer_state", live.get("optimizer_state", 0), states)
        if name.endswith("after_backward"):
            held.add(live.get("gradient", 0))
            say(f"{name}: gradient", live.get("gradient", 0), 0 if r["semantics"] in UNIT_BY_UNIT else gradients)
        elif not name.endswith("after_forward"):  # of micro, that of the first sample
            say(f"{name}: gradient", live.get("gradient", 0), 0)
    most = gradients * (2 if r["semantics"] == "micro" else 1)  # one sample's beside the sum
    say(f"gradient at the peak within {most}", r["categories"].get("gradient", 0) <= most, True)
    return held


def check(context, r):
    """A row: what was found, and what is off as text. A failed experiment has its reason there."""
    config = r.get("config") or {}  # none, when it ended before it could say
    row = {**{k: config.get(k) for k in ("preset", "batch_size", "seq_len")}, **{k: r.get(k) for k in ("dtype", "optimizer", "semantics")},
           "experiment": r["experiment"], "checks": 0, "off": []}
    if r["status"] != "ok":
        row["off"] = ["failed: " + r["reason"]]
        row["too_large"] = r["reason"].startswith("this needs ")
        return row

    def say(what, found, wanted):
        row["checks"] += 1
        if found != wanted:
            row["off"].append(f"{what}: {found}, not {wanted}")

    check_peak(r, say)
    expected = check_formulas(r, say)
    held = check_snapshots(r, live_at_snapshots(context, r), expected, say)
    row.update(peak_bytes=r["peak_bytes"], parameters=r["parameters"], categories=r["categories"], snapshots=len(r["snapshots"]),
               gradient_after_backward=sorted(held), median_time_ms=r["median_time_ms"], attention_by=r["attention_by"],
               norm_samples_bytes=round(r["breakdown"]["norm_samples_mb"] * MIB))
    return row


HEAD = (f"{'experiment':<11}{'dtype':<6}{'peak MiB':>10}{'parameter':>11}{'states':>10}{'gradient':>10}{'activation':>12}{'norms':>9}"
        f"{'rest':>9}{'after backward':>16}{'snapshots':>11}{'checks':>8}  verdict")


def table(rows):
    """MiB at the peak; after backward: gradients then, in bytes per weight."""
    lines, model = [], None
    for row in rows:
        now = f"{row['preset']}, T {row['seq_len']}, B {row['batch_size']}, {row['optimizer']}"
        if now != model:
            lines += [now + (f", N {row['parameters']}" if "parameters" in row else ""), HEAD]
            model = now
        if "categories" not in row:
            lines.append(f"{row['experiment']:<11}{row['dtype'] or '-':<6}  {'DOES NOT FIT' if row.get('too_large') else 'WRONG'}: {row['off'][0]}")
            continue
        c, mib = row["categories"], lambda x: f"{x / MIB:.1f}"
        part = [c.get(k, 0) for k in ("parameter", "optimizer_state", "gradient", "activation")] + [row["norm_samples_bytes"]]
        held = "/".join(f"{x / row['parameters']:g} N" if x else "unit by unit" for x in row["gradient_after_backward"])
        cells = [f"{mib(x):>{w}}" for x, w in zip([row["peak_bytes"], *part, row["peak_bytes"] - sum(part)], (10, 11, 10, 10, 12, 9, 9))]
        lines.append(f"{row['experiment']:<11}{row['dtype']:<6}{''.join(cells)}{held:>16}{row['snapshots']:>11}{row['checks']:>8}  "
                     + ("exact" if not row["off"] else f"{len(row['off'])} OFF"))
        lines += ["    " + x for x in row["off"][:8]]
    return lines


def main():
    p = argparse.ArgumentParser(description="Checks the bytes of recorded training experiments.")
    p.add_argument("runs", nargs="+", metavar="RUN_FOLDER")
    p.add_argument("--build", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
    p.add_argument("--json", default="")
    a = p.parse_args()
    a.device, a.quick = "", False
    context = Context(a, "", "")
    rows = [check(context, r) for run in a.runs for r in results_of(run)]
    print("\n".join(table(rows)))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)
    off = [r for r in rows if r["off"]]
    print(f"{len(rows)} experiments, {sum(r['checks'] for r in rows)} checks, {len(off)} experiments off")
    return bool(off or not rows)


if __name__ == "__main__":
    sys.exit(main())
