# SPDX-License-Identifier: MIT
# Per-sample gradient norms as others compute them, timed on one GPU with PyTorch: what kernels/norms.h has to beat. Every peer is
# written here from its formula; none is made slower than its authors made it.
#   python bench/norm_peers.py --out peers.csv [--dtypes bf16,tf32,fp32] [--cells 4x4096x4096x4096,...] [--quick] [--seconds 150]
#                              [--fork DIR] [--no-compile]
# A cell is BxTxdxp. Columns: algo,dtype,B,T,d,p,eager_ms,graph_ms,extra_MiB,rel_err. eager_ms: median over calls, CUDA events, the
# host's launches included where it is slower than the GPU. graph_ms: per call of a CUDA graph that holds one call per input set,
# median over replays; empty where a peer cannot be captured. Inputs rotate over sets larger than twice the second-level cache
# together (at least two), so no call finds its inputs there. rel_err: against float64 of the same inputs, largest over samples.
# Cells run in order of importance and stop cleanly when --seconds are over. Gram peers are left out where they need over 6 times
# the operations of the gradient. --fork: a checkout of JackyXiao98/opacus, whose fused Triton kernel (norms and the batch's
# weight gradient in one) joins in. torch.compile is tried for the first element type alone.
import argparse, csv, glob, importlib.util, inspect, itertools, statistics, sys, time

import torch

p = argparse.ArgumentParser()
p.add_argument("--out", default="norm_peers.csv")
p.add_argument("--dtypes", default="bf16,tf32,fp32")
p.add_argument("--cells", default="", help="BxTxdxp, comma separated (default: B 1,4; T 512..16384; three widths)")
p.add_argument("--quick", action="store_true", help="B 4, T 1024 and 4096 alone")
p.add_argument("--seconds", type=float, default=150)
p.add_argument("--fork", default="")
p.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes its time")
a = p.parse_args()
deadline = time.monotonic() + a.seconds
if not torch.cuda.is_available():
    sys.exit("norm_peers: PyTorch sees no GPU here; run this on a machine with an NVIDIA GPU and a CUDA build of PyTorch")
known = ("bf16", "tf32", "fp32")
for t in a.dtypes.split(","):
    if t not in known:
        sys.exit(f"norm_peers: no element type {t!r}; there are {', '.join(known)}")
WIDTHS = [(4096, 4096), (2048, 8192), (2048, 2048)]
try:
    cells = [tuple(int(n) for n in c.split("x")) for c in a.cells.split(",") if c]
    assert all(len(c) == 4 and min(c) > 0 for c in cells)
except (ValueError, AssertionError):
    sys.exit(f"norm_peers: --cells {a.cells!r}: each is BxTxdxp, as in 4x1024x2048x2048")
if not cells:
    rows = [1024, 4096] if a.quick else [1024, 4096, 2048, 512, 8192, 16384]
    cells = [(B, T, d, w) for T, (d, w), B in itertools.product(rows, WIDTHS, [4] if a.quick else [4, 1])]


# ---- the peers: A [B,T,d], G [B,T,p] -> squared norms [B] ----

def gram_einsum(A, G):  # Opacus' ghost clipping
    KA, KG = torch.einsum("nik,njk->nij", A, A), torch.einsum("nik,njk->nij", G, G)
    return torch.einsum("nij,nij->n", KA, KG)


def gram_bmm_mul(A, G):  # fastDP's
    return (torch.bmm(A, A.mT) * torch.bmm(G, G.mT)).sum((1, 2))


def width_tiled1024(A, G, tile=1024):  # the fork's `width`: pairs of row tiles in float32, upper triangle
    A, G, n = A.float(), G.float(), 0
    for i in range(0, A.shape[1], tile):
        for j in range(i, A.shape[1], tile):
            KA = torch.bmm(A[:, i : i + tile], A[:, j : j + tile].mT)
            KG = torch.bmm(G[:, i : i + tile], G[:, j : j + tile].mT)
            n = n + (1 if i == j else 2) * (KA * KG).sum((1, 2))
    return n


def input_length(A, G):  # the fork's `input_length`: the gradient in float32, squared, summed
    S = torch.bmm(A.float().mT, G.float())
    return (S * S).sum((1, 2))


def materialised(A, G):
    return torch.matmul(A.mT, G).float().square().sum((1, 2))


def materialised_norm(A, G):  # one pass over the gradient, nothing of its size besides
    return torch.linalg.vector_norm(torch.matmul(A.mT, G), dim=(1, 2), dtype=torch.float32).square()


def fused_triton():
    found = sorted(glob.glob(a.fork + "/**/triton_fused_kernel.py", recursive=True), key=lambda f: "flashnorm" not in f)
    if not found:
        sys.exit(f"norm_peers: --fork {a.fork!r}: no triton_fused_kernel.py in it")
    spec = importlib.util.spec_from_file_location("triton_fused_kernel", found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel = module.fused_backward_weight
    # Its split-T form can hang when there is more than one sample; the other one is sound.
    options = {"use_dsmem": False} if "use_dsmem" in inspect.signature(kernel).parameters else {}

    def fused(A, G):
        n = torch.zeros(A.shape[0], device=A.device)
        kernel(A, G, n, **options)
        return n

    return fused


peers = [materialised_norm, materialised, gram_bmm_mul, gram_einsum, input_length, width_tiled1024]
peers = {f.__name__: f for f in peers}
if a.fork:
    peers["fused_triton"] = fused_triton()
if not a.no_compile:
    peers["materialised_compiled"] = torch.compile(materialised, dynamic=True)


# ---- measuring ----

def reference(A, G, rows=2048):
    n = []
    for x, g in zip(A, G):
        S = torch.zeros(x.shape[1], g.shape[1], device=x.device, dtype=torch.float64)
        for t in range(0, x.shape[0], rows):
            S.addmm_(x[t : t + rows].double().T, g[t : t + rows].double())
        n.append(S.square().sum())
        del S
    return torch.stack(n)


def repeats(ms, budget_ms, least, most):
    return max(least, min(most, int(budget_ms / max(ms, 1e-3))))


def event():
    return torch.cuda.Event(enable_timing=True)


def eager(f, sets):
    first, second = event(), event()
    first.record(), f(*sets[0]), second.record()
    torch.cuda.synchronize()
    marks = [event() for _ in range(1 + repeats(first.elapsed_time(second), 60, 3, 100))]
    marks[0].record()
    for i, m in enumerate(marks[1:]):
        f(*sets[i % len(sets)])
        m.record()
    torch.cuda.synchronize()
    return statistics.median(x.elapsed_time(y) for x, y in zip(marks, marks[1:]))


def replayed(f, sets, ms):
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        f(*sets[0])  # what a library does once on a stream, it must not do while it is captured
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph, stream=stream):
        for s in sets:
            f(*s)
    graph.replay()
    marks = [event() for _ in range(1 + repeats(ms * len(sets), 80, 3, 25))]
    marks[0].record()
    for m in marks[1:]:
        graph.replay()
        m.record()
    torch.cuda.synchronize()
    return statistics.median(x.elapsed_time(y) for x, y in zip(marks, marks[1:])) / len(sets)


def measure(f, sets, exact):
    f(*sets[0]), f(*sets[-1])  # compilers and tuners
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    n = f(*sets[0])
    torch.cuda.synchronize()
    extra = (torch.cuda.max_memory_allocated() - before) / 2**20
    error = ((n.double() - exact).abs() / exact).max().item()
    del n
    ms = eager(f, sets)
    try:
        graph = f"{replayed(f, sets, ms):.5f}"
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as e:
        print(f"  no graph: {str(e).splitlines()[0]}", file=sys.stderr)
        torch.cuda.synchronize()
        graph = ""
    return [f"{ms:.5f}", graph, f"{extra:.1f}", f"{error:.3g}"]


def inputs(B, T, d, w, dtype, l2_bytes):
    element = 2 if dtype == "bf16" else 4
    count = max(2, -(-2 * l2_bytes // (B * T * (d + w) * element)))
    generator = torch.Generator(device="cuda").manual_seed(B * T + d * w)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    make = lambda width: torch.randn(B, T, width, device="cuda", generator=generator).to(kind)
    return [(make(d), make(w)) for _ in range(count)]


def run_cell(dtype, cell, writer):
    B, T, d, w = cell
    sets = inputs(B, T, d, w, dtype, max(60 << 20, torch.cuda.get_device_properties(0).L2_cache_size))
    exact = reference(*sets[0])
    for name, f in peers.items():
        if time.monotonic() > deadline:
            return
        if ("gram" in name or "width" in name) and T * (d + w) > 6 * d * w:
            continue
        if name == "materialised_compiled" and (dtype != a.dtypes.split(",")[0] or time.monotonic() > deadline - 0.2 * a.seconds):
            continue  # a compilation takes long, one per element type, and cannot be stopped
        try:
            row = measure(f, sets, exact)
        except torch.OutOfMemoryError:
            print(f"  {name}: not enough memory", file=sys.stderr)
        except Exception as e:  # a peer that does not run here must not end the others
            print(f"  {name}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", file=sys.stderr)
        else:
            writer.writerow([name, dtype, B, T, d, w] + row)
            print(f"  {name:22} eager {row[0]:>10} graph {row[1]:>10} ms  {row[2]:>8} MiB  error {row[3]}", file=sys.stderr)


with torch.no_grad(), open(a.out, "w", newline="") as out:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("algo,dtype,B,T,d,p,eager_ms,graph_ms,extra_MiB,rel_err".split(","))
    done = 0
    todo = [(t, c) for t in a.dtypes.split(",") for c in cells]
    for dtype, cell in todo:
        if time.monotonic() > deadline:
            break
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        print(f"{dtype} B={cell[0]} T={cell[1]} d={cell[2]} p={cell[3]}", file=sys.stderr, flush=True)
        run_cell(dtype, cell, writer)
        out.flush()
        done += 1
        if torch.cuda.memory_reserved() > torch.cuda.mem_get_info()[1] // 2:
            torch.cuda.empty_cache()
    print(f"norm_peers: {done} of {len(todo)} cells in {a.out}" + ("" if done == len(todo) else f"; --seconds {a.seconds:g} are over"),
          file=sys.stderr)
