# SPDX-License-Identifier: MIT
# Part drills of run.py: sharded training on the real device with a rank that is killed, stopped, held up, leaves a collective out or was
# started wrongly. Right is: every process is gone in time, the status says so, the words name the rank, the recording can be read.
import os, signal, socket, subprocess, threading, time
from context import OK, SKIPPED, UNFINISHED, WRONG, TimeOver, Verdicts, last_line
from sharded import CPU_MODEL, in_time

PATIENCE_S, SLACK_S = 5, 25
TRIES = 3  # longer and longer, until the fault came in the middle of training
MARK = "BENCH_SHARD_DRILL"
RANKS_OF = """SELECT rank, ended, (SELECT COUNT(*) FROM collective c WHERE c.process_id = p.id) AS collectives FROM process p
 WHERE rank IS NOT NULL ORDER BY rank"""


class Job:
    """A launched job, its words with the time each came, and its ranks."""

    def __init__(self, command, env=None):
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.began = time.monotonic()
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      errors="replace", env={**os.environ, **(env or {}), MARK: self.mark}, start_new_session=True)
        self.words = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.child.stdout:
            self.words.append((time.monotonic(), line.rstrip("\n")))

    def text(self):
        return "\n".join(line for _, line in self.words)

    def ranks(self):
        """{rank: pid} of those that run now."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    values = dict(x.split(b"=", 1) for x in f.read().split(b"\0") if b"=" in x)
            except OSError:
                continue
            if values.get(MARK.encode()) == self.mark.encode() and b"RANK" in values:
                found[int(values[b"RANK"])] = int(pid)
        return found

    def wait_for_ranks(self, count, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.child.poll() is None:
            found = self.ranks()
            if len(found) == count:
                return found
            time.sleep(0.05)
        raise RuntimeError(f"the ranks did not start: {last_line(self.text())}")

    def wait(self, seconds):
        """Whether it ended by itself."""
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.reader.join(2)
        return True

    def close(self):
        """Whatever is left of it."""
        left = self.ranks()
        for pid in left.values():
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        return left


class Drills:
    def __init__(self, context):
        self.context, self.verdicts, self.rows, self.jobs = context, Verdicts(context), [], []
        self.world = context.options.worlds[-1]
        self.settle = 9.0 if context.cuda else 2.0
        os.makedirs(context.work, exist_ok=True)

    def start(self, command, env=None):
        self.jobs.append(Job(command, env))
        return self.jobs[-1]

    def training(self, *more):
        model = ["--preset", "gpt2-large", "--num-layers", "6", "--dtype", "bf16"] if self.context.cuda else CPU_MODEL
        return [self.context.tool + "-workload", "train", "--shard", "--nproc", str(self.world), "--device", self.context.options.device, *model,
                "--mode", "ghost_bk", "--patience-s", str(PATIENCE_S), *more]

    def judge(self, what, job, fault_at, allowed, right, text, ended=True):
        seconds = time.monotonic() - fault_at
        left = job.close() if job else {}
        good = bool(right and ended and not left and seconds <= allowed)
        status = job.child.returncode if job else None
        self.rows.append({"drill": what, "ranks": self.world, "seconds": seconds, "allowed": allowed, "status": status, "left": len(left),
                          "right": good, "text": text, "words": job.text()[-3000:] if job else ""})
        self.verdicts.say(what, good, f"{seconds:.1f} s, at most {allowed} s; status {status}; {len(left)} processes left; {text}")

    def in_training(self, harm, command):
        """(job, when it was harmed) with training under way when it was, by what the ranks say they did last."""
        settle = self.settle
        for attempt in range(TRIES):
            job = self.start(command)
            ranks = job.wait_for_ranks(self.world, 60)
            job.wait(settle)
            at = time.monotonic()
            harm(ranks)
            ended = job.wait(PATIENCE_S + SLACK_S + 5)
            if not ended or "last completed step" in job.text() or attempt == TRIES - 1:
                return job, at, ended
            settle *= 2

    def killed(self):
        db = os.path.join(self.context.work, "killed.db")
        command = [self.context.tool, "run", "--force", "-o", db, "--", *self.training("--num-iter", "100000")]
        bad = self.world - 1
        job, at, ended = self.in_training(lambda ranks: os.kill(ranks[bad], signal.SIGKILL), command)
        rows = self.context.query(db, RANKS_OF) if ended and os.path.exists(db) else []
        recorded = [r["ended"] for r in rows] == ["exit"] * bad + ["killed"] and all(r["collectives"] for r in rows)
        named = f"the job ends: rank {bad} is gone" in job.text() and "last completed step" in job.text()
        self.judge(f"rank {bad} killed (SIGKILL), recorded", job, at, PATIENCE_S + SLACK_S, job.child.returncode and named and recorded,
                   f"{first_reason(job)}; recording: {', '.join(str(r['ended']) for r in rows) or 'not readable'}", ended)

    def stopped(self):
        bad = self.world - 1
        job, at, ended = self.in_training(lambda ranks: os.kill(ranks[bad], signal.SIGSTOP), self.training("--num-iter", "100000"))
        blamed = [x for _, x in job.words if f"rank {bad} has not begun it" in x or (f"  rank {bad}: " in x and "last completed step" in x)]
        self.judge(f"rank {bad} stopped (SIGSTOP)", job, at, PATIENCE_S + SLACK_S, job.child.returncode and blamed, first_reason(job), ended)

    def held_up(self):
        """For less than patience: nothing ends."""
        bad, steps = self.world - 1, "600" if self.context.cuda else "1500"
        job = self.start(self.training("--num-iter", steps))
        ranks = job.wait_for_ranks(self.world, 60)
        job.wait(self.settle if self.context.cuda else 0.5)
        at = time.monotonic()
        harmed = job.child.poll() is None
        os.kill(ranks[bad], signal.SIGSTOP)
        job.wait(2)
        os.kill(ranks[bad], signal.SIGCONT)
        ended = job.wait(60)
        self.judge(f"rank {bad} held up for 2 s of {PATIENCE_S}", job, at, 60, harmed and job.child.returncode == 0,
                   last_line(job.text())[:100], ended)

    def skipped(self):
        small = [] if self.context.cuda else ["--hidden-dim", "64", "--num-layers", "2", "--seq-len", "48", "--vocab-size", "200"]
        bad = self.world - 1
        job = self.start([self.context.tool + "-workload", "fsdp_norms", "--device", self.context.options.device, "--nproc", str(self.world),
                          "--fault", "skip-collective", "--patience-s", str(PATIENCE_S), *small])
        ended = job.wait(120)
        report = next((at for at, x in job.words if "the job ends" in x), None)
        # by the watchdog: it had been waited for as long as patience is; else the norms were wrong, and that ended it
        at = report - PATIENCE_S if report and "within" in job.text() else report or time.monotonic()
        named = f"rank {bad} " in job.text() or f"rank {bad}:" in job.text()
        failed = job.child.returncode == 1 and last_line(job.text()) == "CORRECTNESS TEST FAILED"
        self.judge(f"rank {bad} leaves a collective out", job, at, PATIENCE_S + SLACK_S, failed and named, first_reason(job), ended)

    def refused(self, what, command, words, env=None):
        job = self.start(command, env)
        ended = job.wait(60)
        right = job.child.returncode and any(x in job.text() for x in words)
        self.judge(what, job, job.began, 60, right, (first_reason(job) or last_line(job.text()))[:140], ended)

    def port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.refused("address already in use", self.training("--num-iter", "1", "--port", str(port)), [f"port {port} is in use"])

    def memory(self):
        self.refused("more memory than there is", self.training("--num-iter", "1", "--extra-mb", "100000000"), ["are free"])

    def other_world(self):
        """Two ranks by hand that were told of different numbers."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = str(s.getsockname()[1])
        command = self.training("--num-iter", "1")
        at = command.index("--nproc")
        del command[at:at + 2]
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        jobs = [self.start(command, {**env, "RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(2 + r)}) for r in (0, 1)]
        ended = [j.wait(60) for j in jobs]
        right = all(j.child.returncode and "rank 1 says 3 ranks" in j.text() for j in jobs)
        left = jobs[1].close()
        self.judge("ranks told of 2 and of 3 ranks", jobs[0], jobs[0].began, 60, right and not left,
                   (first_reason(jobs[0]) or last_line(jobs[0].text()))[:140], all(ended))


def first_reason(job):
    return next((x for _, x in job.words if "the job ends" in x), "")[:150]


def run(context):
    d = Drills(context)
    if d.world < 2:
        return SKIPPED, "one GPU: no rank waits for another"
    drills = [d.killed, d.stopped, d.skipped] + ([] if context.quick else [d.held_up, d.other_world, d.port_in_use, d.memory])

    def one(drill):
        if context.left() < 45:
            raise TimeOver
        drill()
    context.say(f"{d.world} ranks on {context.options.device}; seconds from the fault to the end of the last process; patience {PATIENCE_S} s")
    try:
        finished = in_time([lambda drill=drill: one(drill) for drill in drills])
    finally:
        for job in d.jobs:
            job.close()
    context.keep({"ranks": d.world, "patience_s": PATIENCE_S, "drills": d.rows})
    right = d.verdicts.right()
    status = WRONG if right < len(d.rows) else OK if finished else UNFINISHED
    return status, f"{right} of {len(d.rows)} as they should be" + ("" if finished else f", {len(drills) - len(d.rows)} not done")
