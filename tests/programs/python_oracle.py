# SPDX-License-Identifier: MIT
#
# python_oracle.py: a Python program whose allocations come from known frames, through the stand-ins of libc10 and
# libc10_cuda; and the comparison of what was recorded with what sys._getframe said at the call.
#
#   python_oracle.py run PART EXPECTED     PART: one of the functions below that begin with part_
#   python_oracle.py check DB EXPECTED     exit status 0: every allocation has exactly the frames it was made from
#
# Each allocation has a size of its own, by which the two are matched. CDLL releases the GIL around the call, PyDLL does not.
import asyncio
import ctypes
import gc
import json
import os
import sqlite3
import sys
import threading
import time

MOST_FRAMES = 253  # that the recorder follows
expected = {}
lock = threading.Lock()
next_size = 512
free_gil = keep_gil = run_out = None


def load():
    global free_gil, keep_gil, run_out
    ctypes.CDLL("libc10.so")
    free_gil = ctypes.CDLL("libc10_cuda.so").fake_torch_report
    keep_gil = ctypes.PyDLL("libc10_cuda.so").fake_torch_report
    for function in free_gil, keep_gil:
        function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        function.restype = ctypes.c_void_p
    run_out = ctypes.CDLL("libc10_cuda.so").fake_torch_oom
    run_out.argtypes = [ctypes.c_int64, ctypes.c_int, ctypes.c_int]
    free_gil(None, 256, 1, 0, 0)  # begins the recording; nothing was looked at before it
    time.sleep(0.5)


def name_of(code):
    return getattr(code, "co_qualname", code.co_name)


def frames_from(frame):
    frames = []
    while frame:
        frames.append([frame.f_code.co_filename, name_of(frame.f_code), frame.f_lineno])
        frame = frame.f_back
    return frames


def note(frame):
    global next_size
    with lock:
        next_size += 512
        size = next_size
    expected[size] = frames_from(frame)
    return size


def allocate(report=None):
    return (report or free_gil)(None, note(sys._getframe()), 1, 0, 0)


def allocate_held():
    return keep_gil(None, note(sys._getframe()), 1, 0, 0)


# ---- parts ----


class Layer:
    def __init__(self):
        self.made = allocate()

    def __call__(self, depth):
        return self.forward(depth)

    def forward(self, depth):
        if depth:
            return self(depth - 1)
        return allocate()

    @property
    def size(self):
        return allocate()

    def __len__(self):
        allocate()
        return 1


def part_calls():
    allocate()
    allocate_held()
    layer = Layer()
    layer(0)
    layer(20)
    layer.size
    len(layer)
    (lambda: allocate())()
    [allocate() for _ in range(3)]
    list(map(lambda _: allocate(), range(3)))
    sorted([3, 1, 2], key=lambda k: (allocate_held(), k)[1])
    {k: allocate() for k in range(2)}
    for line in range(3):
        allocate(
            free_gil
        )
    (
        allocate(),
        allocate(),
    )


def fail(form):
    run_out(note(sys._getframe()), 0, form)


def part_failures():
    allocate()
    for form in range(3):
        fail(form)
    (lambda: fail(0))()


def part_generators():
    def inner(n):
        for _ in range(n):
            allocate()
            yield

    def outer(n):
        yield from inner(n)
        allocate()

    for _ in outer(3):
        allocate()
    sum(allocate() is None for _ in range(3))

    async def leaf():
        allocate()
        await asyncio.sleep(0)
        allocate_held()

    async def root():
        await asyncio.gather(leaf(), leaf(), leaf())
        allocate()

    asyncio.run(root())


def part_depth():
    def down(n):
        return down(n - 1) if n else allocate()

    sys.setrecursionlimit(5000)
    for n in (1, 10, 100, 240, 248, 249, 250, 251, 300, 1000, 3000):
        down(n)
    # through C each time: sorted calls the key
    def through(n):
        return sorted([0], key=lambda _: (through(n - 1) if n else allocate(), 0)[1])

    for n in (1, 30, 100, 115):
        through(n)


def part_names():
    names = [
        "plain.py",
        "/tmp/with space;and\ttab.py",
        "/tmp/\u00e4\u00f6\u00fc.py",
        "/tmp/\u6587\u4ef6.py",
        "/tmp/\U0001f525.py",
        "'; DROP TABLE allocation; --",
        "<string>",
        "%s%n%x",
        "long" * 300,
        "",
        "<frozen made up>",
    ]
    for name in names:
        scope = {"allocate": allocate, "sys": sys}
        exec(compile("def gr\u00f6\u00dfe():\n\n    allocate()\ngr\u00f6\u00dfe()\nallocate()", name, "exec"), scope)
        exec(compile("def \u6587(x):\n  return [allocate() for _ in x]\n\n\n\u6587([1])", name, "exec"), scope)
    for line in (2, 70, 300, 5000, 70000):  # steps that need each form of the line table
        exec(compile("allocate()" + "\n" * line + "allocate()", "steps.py", "exec"), {"allocate": allocate})


def part_reuse():
    """Code objects that come and go at the same addresses, alike but for a file name, a name or a line."""
    for i in range(400):
        scope = {"allocate": allocate}
        exec(compile("def f():\n" + "\n" * (i % 7) + " allocate()\nf()", "gen%d.py" % (i % 9), "exec"), scope)
        del scope
        eval(compile("allocate()", "one%03d.py" % (i % 11), "eval"), {"allocate": allocate})
        eval("(lambda: allocate())()")
        if i % 50 == 0:
            gc.collect()
    base = compile("allocate()", "base.py", "eval")
    for i in range(400):  # a new file name of one length, at the same address each time
        eval(base.replace(co_filename="".join(["file", str(i % 10), ".py"])), {"allocate": allocate})
    for i in range(400):  # a new line table of one length
        table = bytearray(base.co_linetable)
        if sys.version_info < (3, 11):
            table[1] = i % 10
        else:  # the second location, a short one, becomes one some lines on
            table = bytearray([0xE8 | 7, (i % 10) << 1]) + table
        eval(base.replace(co_linetable=bytes(table)), {"allocate": allocate})


def part_threads():
    def work(report, n):
        for _ in range(n):
            Layer()(5)
            allocate(report)

    threads = [threading.Thread(target=work, args=(r, 200)) for r in (free_gil, keep_gil) * 4]
    for t in threads:
        t.start()
    work(free_gil, 200)
    for t in threads:
        t.join()


def part_fork():
    allocate()
    child = os.fork()
    if not child:
        expected.clear()
        free_gil(None, 256, 1, 0, 0)
        time.sleep(0.5)
        allocate()
        Layer()(3)
        with open(sys.argv[3] + ".child", "w") as out:
            json.dump(expected, out)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    Layer()(3)


def part_end():
    """Threads that allocate while the interpreter ends; what they get is not compared, only that nothing happens to them."""
    def forever():
        while True:
            for _ in range(50):
                keep_gil(None, 256, 1, 0, 0)
                free_gil(None, 256, 1, 0, 0)

    for _ in range(6):
        threading.Thread(target=forever, daemon=True).start()
    allocate()
    time.sleep(0.3)


def part_million():
    count = int(os.environ.get("ORACLE_COUNT", "1000000")) // 8

    def leaf(report):
        return report(None, 256, 1, 0, 0)

    def values(report, n):
        for _ in range(n):
            yield leaf(report)

    def work(report):
        for i in range(count // 100):
            for _ in values(report, 50):
                pass
            for _ in range(50):
                (leaf if i % 2 else Layer.direct)(report)

    Layer.direct = staticmethod(lambda report: leaf(report))
    threads = [threading.Thread(target=work, args=(r,)) for r in (free_gil, keep_gil) * 4]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# ---- comparison ----

FRAMES = """
WITH RECURSIVE up(id, depth) AS (SELECT ?1, 0 UNION ALL
  SELECT s.parent_id, depth + 1 FROM up JOIN stack s ON s.id = up.id WHERE s.parent_id IS NOT NULL)
SELECT f.file, f.function, f.line, s.frame_id FROM up JOIN stack s ON s.id = up.id
  LEFT JOIN frame f ON f.id = s.frame_id ORDER BY depth"""


def clean(frame):
    file, function, line = frame
    file = os.fsencode(file).decode("utf8", "replace")
    return [file[:900], function[:900], line]


def agree(got, want):
    """A text longer than the recorder keeps is cut at a whole character."""
    return got[2] == want[2] and all(g == w or (len(g.encode()) > 890 and w.startswith(g)) for g, w in zip(got[:2], want))


def check(db, expectation, process):
    with open(expectation) as f:
        want = {int(k): v for k, v in json.load(f).items()}
    sql = sqlite3.connect(db)
    rows = sql.execute("SELECT bytes, stack_id FROM allocation WHERE source = 'torch' AND process_id = ?1 AND bytes > 512"
                       " ORDER BY id", (process,)).fetchall()
    rows += sql.execute("SELECT f.bytes, s.stack_id FROM allocation_failure f LEFT JOIN failure_stack s ON s.process_id ="
                        " f.process_id AND s.ts_ns = f.ts_ns WHERE f.process_id = ?1", (process,)).fetchall()
    wrong = 0
    seen = set()
    for size, stack in rows:
        frames = sql.execute(FRAMES, (stack,)).fetchall() if stack is not None else []
        cut = bool(frames) and frames[-1][3] is None
        got = [list(f[:3]) for f in frames if f[3] is not None]
        full = [clean(f) for f in want.get(size, [])]
        seen.add(size)
        same = len(got) == min(len(full), MOST_FRAMES) and cut == (len(full) > MOST_FRAMES)
        if not same or not all(agree(g, w) for g, w in zip(got, full)):
            wrong += 1
            if wrong <= 5:
                print("allocation of", size, "\n  got", len(got), cut, got[:4], "\n  not", len(full), full[:4])
    missing = set(want) - seen
    print("%d allocations, %d wrong, %d missing" % (len(rows), wrong, len(missing)))
    return 1 if wrong or missing or not rows else 0


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 1))
    load()
    globals()["part_" + sys.argv[2]]()
    with open(sys.argv[3], "w") as out:
        json.dump(expected, out)
