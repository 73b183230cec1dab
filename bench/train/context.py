# SPDX-License-Identifier: MIT
# What the parts of run.py share: options, the time left, words that go to the screen and a file, and `vramscope` with what it leaves:
# suites that go on where they stopped, results, and rows of a recording. It judges nothing.
import glob, json, os, signal, subprocess, time

OK, WRONG, UNFINISHED, SKIPPED = "ok", "WRONG", "unfinished", "skipped"
MIB = 2**20


class TimeOver(Exception):
    """What was done is kept; the same command again does the rest."""


class Context:
    def __init__(self, options, out, part):
        self.options, self.out, self.part = options, out, part
        self.cuda, self.quick = options.device == "cuda", options.quick
        self.tool = os.path.join(options.build, "bin", "vramscope")
        self.work = os.path.join(out, part)  # recordings and the like
        self.lines = []

    def left(self):
        return self.options.left()

    def say(self, text=""):
        self.lines.append(text)
        print(text, flush=True)

    def keep(self, result):
        """PART.json, whole or not at all."""
        path = os.path.join(self.out, self.part + ".json")
        with open(path + ".new", "w") as f:
            json.dump(result, f, indent=1)
        os.replace(path + ".new", path)

    def run(self, command, stdout=subprocess.PIPE, least=5.0, limit=None, env=None):
        """(exit status, output of both). It is ended, by SIGTERM first, when the time of this call is over, which raises TimeOver, and
        when its own limit is: then its status is 124."""
        left = self.left()
        if left < least:
            raise TimeOver
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, text=True, errors="replace",
                                 env=None if env is None else {**os.environ, **env}, start_new_session=True)
        try:
            output, _ = child.communicate(timeout=min(left, limit or 600))
        except BaseException as e:
            output = end(child)
            if not isinstance(e, subprocess.TimeoutExpired):
                raise
            if not limit or left <= limit:
                raise TimeOver from None
            return 124, f"{output}\nended after {limit} s\n"
        return child.returncode, output

    def suite(self, label, experiments, flags):
        """(exit status, folder of the run): done before, gone on with, or new."""
        folder = os.path.join(self.work, label)
        done = os.path.join(folder, "done.json")
        if os.path.exists(done):
            with open(done) as f:
                status, run = json.load(f)
            return status, os.path.join(folder, run)
        runs = sorted(glob.glob(folder + "/run_*"))
        resume = ["--resume", runs[-1]] if runs else []
        os.makedirs(folder, exist_ok=True)
        status, output = self.run([self.tool, "suite", "--experiments", experiments, "--device", self.options.device, "-o", folder,
                                   *resume, *flags])
        with open(folder + "/suite.txt", "a") as f:
            f.write(output)
        runs = sorted(glob.glob(folder + "/run_*"))
        if not runs:
            raise RuntimeError(f"vramscope suite left no folder (status {status}): {last_line(output)}")
        with open(done, "w") as f:
            json.dump([status, os.path.basename(runs[-1])], f)
        return status, runs[-1]

    def one(self, label, flags, limit=None):
        """(exit status, its result or None, output) of one experiment; a status of 0 is not run again."""
        base = os.path.join(self.work, label)
        result, output = None, ""
        if os.path.exists(base + ".json"):
            result = load(base + ".json")
        status = 0 if result and result["status"] == "ok" else None
        if status is None:
            os.makedirs(self.work, exist_ok=True)
            status, output = self.run([self.tool, "bench", "train", "--device", self.options.device, "--force", "-o", base + ".db",
                                       "--output", base + ".json", *flags], limit=limit)
            with open(base + ".txt", "w") as f:
                f.write(output)
            result = load(base + ".json") if os.path.exists(base + ".json") else None
        if result:
            result["database"] = base + ".db"
        return status, result, output

    def query(self, database, sql):
        r = subprocess.run([self.tool, "query", database, sql, "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if r.returncode:
            raise RuntimeError(f"vramscope query {database}: {last_line(r.stderr)}")
        return json.loads(r.stdout)


class Verdicts:
    """Of things that are right or not, each said at once."""

    def __init__(self, context):
        self.context, self.all = context, []

    def say(self, what, right, text):
        self.all.append({"what": what, "right": bool(right), "text": text})
        self.context.say(f"{'right' if right else 'WRONG':<7}{what}: {text}")

    def right(self):
        return sum(v["right"] for v in self.all)


def end(child, grace=10):
    """A session's first process by SIGTERM, and after some seconds all of its group by SIGKILL. What it still said."""
    child.send_signal(signal.SIGTERM)
    try:
        return child.communicate(timeout=grace)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0]


def last_line(text):
    return next((x for x in reversed(text.splitlines()) if x.strip()), "no message")


def load(path):
    with open(path) as f:
        return json.load(f)


def results_of(run):
    """Results of a suite's folder in the order they ran, each with its name there and where its recording is."""
    results = []
    for path in glob.glob(run + "/*_result.json"):
        r = load(path)
        r.update(label=os.path.basename(path)[:-len("_result.json")], database=os.path.join(run, r["recording"]))
        results.append(r)
    return sorted(results, key=lambda r: r["process_id"] or 0)


def took(results):
    return next((r["device_name"] for r in results if r.get("device_name")), "")
