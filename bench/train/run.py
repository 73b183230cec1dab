# SPDX-License-Identifier: MIT
# Runs the parts that run.sh names, one after the other, each kept as soon as it ends, and joins what they said. It measures nothing.
import argparse, datetime, json, os, platform, shutil, signal, subprocess, sys, time
import part_breakdown, part_notes, part_post_mortem, part_pytorch
from context import OK, SKIPPED, UNFINISHED, WRONG, Context, TimeOver

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = {"agree": part_pytorch.agree, "parity": part_pytorch.parity, "breakdown": part_breakdown.run, "post-mortem": part_post_mortem.run,
         "notes": part_notes.run, "eager": part_pytorch.eager}
SECONDS = {"quick": 235, "full": 715}


def options():
    start = time.monotonic()
    p = argparse.ArgumentParser(prog="run.sh", description="The evidence of the training step, part by part.")
    p.add_argument("out", metavar="OUT_DIR")
    p.add_argument("--quick", action="store_true", help="less of each part: under 4 minutes instead of 12")
    p.add_argument("--part", default=",".join(PARTS), metavar="NAME,...", help="some of: " + " ".join(PARTS))
    p.add_argument("--time-budget", type=float, default=None, metavar="SECONDS", help="of this call; the next one goes on")
    p.add_argument("--again", action="store_true", help="forget what these parts did, and do them anew")
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: at the preset tiny, to see that it works")
    p.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"), help="where bin/vramscope is")
    p.add_argument("--python", default=sys.executable, help="one with PyTorch")
    p.add_argument("--commit", default="", help="default: what git says")
    a = p.parse_args()
    a.parts, a.build, a.out = a.part.split(","), os.path.abspath(a.build), os.path.abspath(a.out)
    unknown = [x for x in a.parts if x not in PARTS]
    if unknown:
        p.error(f"no part {', '.join(unknown)}; there are: {' '.join(PARTS)}")
    for program in ("vramscope", "vramscope-workload"):
        if not os.access(os.path.join(a.build, "bin", program), os.X_OK):
            p.error(f"there is no {a.build}/bin/{program}: build it first (make), or say --build FOLDER")
    budget = a.time_budget if a.time_budget is not None else SECONDS["quick" if a.quick else "full"]
    a.left = lambda: budget - (time.monotonic() - start)
    return a


def words_of(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return ""


def identity(a):
    gpu = words_of(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]).splitlines()
    torch = words_of([a.python, "-c", "import torch; print(torch.__version__, 'CUDA', torch.version.cuda)"])
    dirty = "-dirty" if words_of(["git", "status", "--porcelain", "--untracked-files=no"]) else ""
    return {"machine": f"{len(gpu)} x {gpu[0]}" if gpu and a.device == "cuda" else f"CPU, {os.cpu_count()} cores",
            "device": a.device, "commit": a.commit or (words_of(["git", "rev-parse", "--short", "HEAD"]) or "unknown") + dirty,
            "extent": "quick" if a.quick else "full", "torch": torch or "none", "python": platform.python_version(),
            "vramscope": words_of([os.path.join(a.build, "bin", "vramscope"), "--version"])}


def load_state(a):
    path, now = os.path.join(a.out, "show.json"), identity(a)
    if not os.path.exists(path):
        return {"identity": now, "parts": {}}
    with open(path) as f:
        state = json.load(f)
    other = [f"{k} was {state['identity'].get(k)!r}, is {v!r}" for k, v in now.items() if state["identity"].get(k) != v]
    if other:
        sys.exit(f"run.sh: {a.out} is of another run ({'; '.join(other)}); take another OUT_DIR")
    return state


def one_part(a, name):
    """(status, summary)"""
    context = Context(a, a.out, name)
    try:
        status, summary = PARTS[name](context)
    except TimeOver:
        status, summary = UNFINISHED, "the time was over; the same command goes on"
    except Exception as e:  # of one part: the others go on
        status, summary = WRONG, f"{type(e).__name__}: {e}"
    if status != OK:
        context.say(f"{status}: {summary}")
    with open(os.path.join(a.out, name + ".txt"), "w") as f:
        f.write("\n".join(context.lines) + "\n")
    return status, summary


def save(a, state):
    """show.json, and SHOW.txt: who, what, a line per part, then all their words."""
    path, i = os.path.join(a.out, "show.json"), state["identity"]
    with open(path + ".new", "w") as f:
        json.dump(state, f, indent=1)
    os.replace(path + ".new", path)
    lines = [f"The training step and its recordings: bench/train/run.sh ({i['extent']})", f"{i['machine']}; commit {i['commit']}; "
             f"{i['vramscope']}; PyTorch {i['torch']}; Python {i['python']}", "",
             f"{'part':<13}{'verdict':<12}{'seconds':>8}  {'date':<12}what"]
    for name in PARTS:
        p = state["parts"].get(name)
        lines.append(f"{name:<13}{p['status']:<12}{p['seconds']:>8.0f}  {p['date']:<12}{p['summary']}" if p else f"{name:<13}not run")
    for name in PARTS:
        if name in state["parts"]:
            with open(os.path.join(a.out, name + ".txt")) as f:
                lines += ["", f"==== {name} " + "=" * (110 - len(name)), f.read().rstrip()]
    with open(os.path.join(a.out, "SHOW.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    return lines[:4 + len(PARTS)]


def main():
    a = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception: it ends what is running
    os.makedirs(a.out, exist_ok=True)
    state = load_state(a)
    a.commit = state["identity"]["commit"]
    for name in a.parts:
        before = state["parts"].get(name, {"status": UNFINISHED, "seconds": 0})
        if before["status"] in (OK, SKIPPED) and not a.again:
            continue
        if a.again:
            shutil.rmtree(os.path.join(a.out, name), ignore_errors=True)
            if os.path.exists(os.path.join(a.out, name + ".json")):
                os.unlink(os.path.join(a.out, name + ".json"))
        print(f"==== {name}, {a.left():.0f} s left", flush=True)
        began = time.monotonic()
        status, summary = one_part(a, name)
        seconds = time.monotonic() - began + (before["seconds"] if before["status"] == UNFINISHED else 0)
        state["parts"][name] = {"status": status, "summary": summary, "seconds": seconds, "date": datetime.date.today().isoformat()}
        save(a, state)
    print("\n" + "\n".join(save(a, state)))
    found = {state["parts"][name]["status"] for name in a.parts if name in state["parts"]}
    return 1 if WRONG in found else 3 if found & {UNFINISHED, SKIPPED} else 0


if __name__ == "__main__":
    sys.exit(main())
