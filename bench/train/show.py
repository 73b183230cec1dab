# SPDX-License-Identifier: MIT
# What run.py of a folder of bench/ is made of: runs its parts one after the other, each kept as soon as it ends, and joins what they
# said. It measures nothing, and knows no part.
import argparse, datetime, json, os, platform, shutil, signal, subprocess, sys, time
from context import OK, SKIPPED, UNFINISHED, WRONG, Context, TimeOver

HERE = os.path.dirname(os.path.abspath(__file__))


def words_of(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return ""


class Show:
    """Of these parts: {name: function of a Context that returns (status, summary)}. seconds: of a call, {"quick": , "full": }."""

    def __init__(self, title, description, parts, seconds):
        self.title, self.description, self.parts, self.seconds = title, description, parts, seconds

    def add_options(self, parser):
        pass

    def check_options(self, parser, a):
        pass

    def more_identity(self, a):
        return {}

    def head(self, i):
        """The second line of SHOW.txt."""
        return f"{i['machine']}; commit {i['commit']}; {i['vramscope']}; Python {i['python']}"

    def options(self):
        start = time.monotonic()
        p = argparse.ArgumentParser(prog="run.sh", description=self.description)
        p.add_argument("out", metavar="OUT_DIR")
        p.add_argument("--quick", action="store_true",
                       help=f"less of each part: about {self.seconds['quick'] / 60:.0f} minutes instead of {self.seconds['full'] / 60:.0f}")
        p.add_argument("--part", default=",".join(self.parts), metavar="NAME,...", help="some of: " + " ".join(self.parts))
        p.add_argument("--time-budget", type=float, default=None, metavar="SECONDS", help="of this call; the next one goes on")
        p.add_argument("--again", action="store_true", help="forget what these parts did, and do them anew")
        p.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: at the preset tiny, to see that it works")
        p.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"), help="where bin/vramscope is")
        p.add_argument("--commit", default="", help="default: what git says")
        self.add_options(p)
        a = p.parse_args()
        a.parts, a.build, a.out = a.part.split(","), os.path.abspath(a.build), os.path.abspath(a.out)
        unknown = [x for x in a.parts if x not in self.parts]
        if unknown:
            p.error(f"no part {', '.join(unknown)}; there are: {' '.join(self.parts)}")
        for program in ("vramscope", "vramscope-workload"):
            if not os.access(os.path.join(a.build, "bin", program), os.X_OK):
                p.error(f"there is no {a.build}/bin/{program}: build it first (make), or say --build FOLDER")
        self.check_options(p, a)
        budget = a.time_budget if a.time_budget is not None else self.seconds["quick" if a.quick else "full"]
        a.left = lambda: budget - (time.monotonic() - start)
        return a

    def identity(self, a):
        gpu = words_of(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]).splitlines()
        dirty = "-dirty" if words_of(["git", "status", "--porcelain", "--untracked-files=no"]) else ""
        return {"machine": f"{len(gpu)} x {gpu[0]}" if gpu and a.device == "cuda" else f"CPU, {os.cpu_count()} cores",
                "device": a.device, "commit": a.commit or (words_of(["git", "rev-parse", "--short", "HEAD"]) or "unknown") + dirty,
                "extent": "quick" if a.quick else "full", "python": platform.python_version(),
                "vramscope": words_of([os.path.join(a.build, "bin", "vramscope"), "--version"]), **self.more_identity(a)}

    def load_state(self, a):
        path, now = os.path.join(a.out, "show.json"), self.identity(a)
        if not os.path.exists(path):
            return {"identity": now, "parts": {}}
        with open(path) as f:
            state = json.load(f)
        other = [f"{k} was {state['identity'].get(k)!r}, is {v!r}" for k, v in now.items() if state["identity"].get(k) != v]
        if other:
            sys.exit(f"run.sh: {a.out} is of another run ({'; '.join(other)}); take another OUT_DIR")
        return state

    def one_part(self, a, name):
        """(status, summary)"""
        context = Context(a, a.out, name)
        try:
            status, summary = self.parts[name](context)
        except TimeOver:
            status, summary = UNFINISHED, "the time was over; the same command goes on"
        except Exception as e:  # of one part: the others go on
            status, summary = WRONG, f"{type(e).__name__}: {e}"
        if status != OK:
            context.say(f"{status}: {summary}")
        with open(os.path.join(a.out, name + ".txt"), "w") as f:
            f.write("\n".join(context.lines) + "\n")
        return status, summary

    def save(self, a, state):
        """show.json, and SHOW.txt: who, what, a line per part, then all their words."""
        path, i = os.path.join(a.out, "show.json"), state["identity"]
        with open(path + ".new", "w") as f:
            json.dump(state, f, indent=1)
        os.replace(path + ".new", path)
        lines = [f"{self.title} ({i['extent']})", self.head(i), "", f"{'part':<13}{'verdict':<12}{'seconds':>8}  {'date':<12}what"]
        for name in self.parts:
            p = state["parts"].get(name)
            lines.append(f"{name:<13}{p['status']:<12}{p['seconds']:>8.0f}  {p['date']:<12}{p['summary']}" if p else f"{name:<13}not run")
        for name in self.parts:
            if name in state["parts"]:
                with open(os.path.join(a.out, name + ".txt")) as f:
                    lines += ["", f"==== {name} " + "=" * (110 - len(name)), f.read().rstrip()]
        with open(os.path.join(a.out, "SHOW.txt"), "w") as f:
            f.write("\n".join(lines) + "\n")
        return lines[:4 + len(self.parts)]

    def main(self):
        a = self.options()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception: it ends what is running
        os.makedirs(a.out, exist_ok=True)
        state = self.load_state(a)
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
            status, summary = self.one_part(a, name)
            seconds = time.monotonic() - began + (before["seconds"] if before["status"] == UNFINISHED else 0)
            state["parts"][name] = {"status": status, "summary": summary, "seconds": seconds, "date": datetime.date.today().isoformat()}
            self.save(a, state)
        print("\n" + "\n".join(self.save(a, state)))
        found = {state["parts"][name]["status"] for name in a.parts if name in state["parts"]}
        return 1 if WRONG in found else 3 if found & {UNFINISHED, SKIPPED} else 0
