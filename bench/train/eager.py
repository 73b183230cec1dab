# SPDX-License-Identifier: MIT
# Eager PyTorch of exactly the model `vramscope-workload train` trains, timed as the notes time theirs: what the C step has to beat.
#   python bench/train/eager.py --preset gpt2-large --precision bf16-autocast [--optimizer adam] [--num-iter 5] [--results F.json]
#   python bench/train/eager.py --preset tiny --weights W --ids I [--gradients G]        (one step's loss and gradients, no timing)
# --precision: fp32 (no TF32), tf32, bf16-autocast (float32 weights, gradients and optimizer), bf16-pure (all of it bfloat16), fp64.
# --optimizer: none, sgd, adam-fused, adam-foreach (PyTorch's default on a GPU), or adam: both Adams, one after the other.
# A step is zero_grad, forward, mean cross entropy over all tokens, backward, optimizer: between two CUDA events, the GPU idle before
# the first and after the second; median of --num-iter after --warmup-iter. New random ids and targets each iteration, outside the
# events. Peak: torch.cuda.max_memory_allocated, zeroed after warm-up (none on a CPU). Weights are random; nothing is downloaded.
# Nothing here is slower than it need be: q, k, v (gate, up) are one product; attention is PyTorch's own choice of kernel; key heads
# are shared by the kernel in bf16, and repeated before it in float32, where PyTorch's fused kernels cannot share them.
# --weights: all tensors as raw float32 (or float64: told by the size) in the order of ordered(); --ids: raw int64, ids [B,T], then
# targets [B,T]; --gradients: raw gradients of the mean loss in the same order, to be compared with PyTorch's tensor by tensor;
# --save-gradients: PyTorch's own, as raw float64.
import argparse, array, json, os, statistics, sys, time

import torch
import torch.nn as nn
import torch.nn.functional as F

LM, LLAMA = "lm", "llama"
SIZES = ("vocab_size", "hidden_dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "seq_len", "batch_size")
PRESETS = {  # family and SIZES
    "lm-20x2048": (LM, 32000, 2048, 20, 16, 16, 8192, 16384, 1),
    "gpt2-large": (LM, 50257, 1280, 36, 20, 20, 5120, 1024, 4),
    "llama-3.2-1b": (LLAMA, 128256, 2048, 16, 32, 8, 8192, 4096, 1),
    "tiny": (LM, 256, 32, 2, 4, 4, 128, 32, 2),
}
PRECISIONS = ("fp32", "tf32", "bf16-autocast", "bf16-pure", "fp64")
OPTIMIZERS = ("none", "sgd", "adam", "adam-fused", "adam-foreach")
EPS, ROTARY_BASE = 1e-5, 500000.0


class Block(nn.Module):
    def __init__(s, c):
        super().__init__()
        h, llama = c.hidden_dim, c.family == LLAMA
        s.heads, s.kv, s.width, s.llama = c.num_heads, c.num_kv_heads, h // c.num_heads, llama
        s.norm1 = nn.RMSNorm(h, EPS) if llama else nn.LayerNorm(h, EPS)
        s.qkv = nn.Linear(h, (s.heads + 2 * s.kv) * s.width, bias=False)
        s.o = nn.Linear(h, h, bias=False)
        s.norm2 = nn.RMSNorm(h, EPS) if llama else nn.LayerNorm(h, EPS)
        s.up = nn.Linear(h, 2 * c.ffn_dim, bias=False) if llama else nn.Linear(h, c.ffn_dim)  # llama: gate's rows, then up's
        s.down = nn.Linear(c.ffn_dim, h, bias=not llama)

    def attention(s, x, rotary):
        B, T, h = x.shape
        q, k, v = s.qkv(x).split([s.heads * s.width, s.kv * s.width, s.kv * s.width], -1)
        q = q.view(B, T, s.heads, s.width).transpose(1, 2)
        k, v = (y.view(B, T, s.kv, s.width).transpose(1, 2) for y in (k, v))
        if s.llama:
            q, k = turn(q, *rotary), turn(k, *rotary)
        shared = s.kv != s.heads
        if shared and v.dtype != torch.bfloat16:
            k, v = (y.repeat_interleave(s.heads // s.kv, 1) for y in (k, v))
            shared = False
        y = F.scaled_dot_product_attention(q, k, v, is_causal=s.llama, enable_gqa=shared)
        return s.o(y.transpose(1, 2).reshape(B, T, h))

    def forward(s, x, rotary):
        x = x + s.attention(s.norm1(x), rotary)
        y = s.up(s.norm2(x))
        if s.llama:
            gate, up = y.chunk(2, -1)
            return x + s.down(F.silu(gate) * up)
        return x + s.down(F.relu(y))


class Model(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.c = c
        s.tokens = nn.Embedding(c.vocab_size, c.hidden_dim)
        if c.family == LM:
            s.positions = nn.Embedding(c.seq_len, c.hidden_dim)
        s.blocks = nn.ModuleList(Block(c) for _ in range(c.num_layers))
        if c.family == LM:
            s.head = nn.Linear(c.hidden_dim, c.vocab_size, bias=False)
        else:
            s.norm = nn.RMSNorm(c.hidden_dim, EPS)
            width = c.hidden_dim // c.num_heads
            turns = ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
            angle = torch.outer(torch.arange(c.seq_len, dtype=torch.float64), turns)
            s.register_buffer("cos", torch.cat([angle.cos()] * 2, -1), persistent=False)
            s.register_buffer("sin", torch.cat([angle.sin()] * 2, -1), persistent=False)

    def forward(s, ids):
        x, llama = s.tokens(ids), s.c.family == LLAMA
        rotary = (s.cos, s.sin) if llama else None
        if not llama:
            x = x + s.positions.weight
        for block in s.blocks:
            x = block(x, rotary)
        return F.linear(s.norm(x), s.tokens.weight) if llama else s.head(x)


def turn(x, cos, sin):  # pairs (i, i + width/2)
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def ordered(model):
    """Every tensor with its name, in the order of the files and of the C program's model."""
    yield "tokens", model.tokens.weight
    if model.c.family == LM:
        yield "positions", model.positions.weight
    for i, block in enumerate(model.blocks):
        for part in ("norm1", "qkv", "o", "norm2", "up", "down"):
            for name, tensor in getattr(block, part).named_parameters():
                yield f"block{i:02}.{part}.{name}", tensor
    if model.c.family == LLAMA:
        yield "norm.weight", model.norm.weight
    else:
        yield "head.weight", model.head.weight


def arguments():
    p = argparse.ArgumentParser(description="Eager PyTorch of the model the train workload trains, timed.")
    p.add_argument("--preset", default="tiny", choices=PRESETS)
    for name in SIZES:
        p.add_argument("--" + name.replace("_", "-"), type=int)
    p.add_argument("--precision", default="fp32", choices=PRECISIONS)
    p.add_argument("--optimizer", default="adam", choices=OPTIMIZERS)
    p.add_argument("--learning-rate", type=float, default=1e-4)
    p.add_argument("--num-iter", type=int, default=5)
    p.add_argument("--warmup-iter", type=int, default=2)
    p.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    p.add_argument("--seed", type=int, default=1337)
    p.add_argument("--results", default="-", help="file for the JSON; - is stdout")
    p.add_argument("--weights", default="", help="raw dump of all tensors: gives one step's loss and gradients, no timing")
    p.add_argument("--ids", default="", help="raw int64 ids, then targets")
    p.add_argument("--gradients", default="", help="raw dump of gradients to compare with")
    p.add_argument("--save-gradients", default="", help="file for PyTorch's gradients, raw float64")
    c = p.parse_args()
    c.family, *sizes = PRESETS[c.preset]
    for name, size in zip(SIZES, sizes):
        if getattr(c, name) is None:  # one head of keys per head, and 4h, unless the preset or a flag says otherwise
            if c.family == LM and name in ("num_kv_heads", "ffn_dim"):
                size = c.num_heads if name == "num_kv_heads" else 4 * c.hidden_dim
            setattr(c, name, size)
        if getattr(c, name) < 1:
            p.error(f"--{name.replace('_', '-')} must be 1 or more")
    if c.hidden_dim % c.num_heads or c.num_heads % c.num_kv_heads:
        p.error("--num-heads must divide --hidden-dim, and --num-kv-heads must divide --num-heads")
    if c.num_iter < 1 or c.warmup_iter < 0:
        p.error("--num-iter must be 1 or more, --warmup-iter 0 or more")
    if bool(c.weights) != bool(c.ids) or ((c.gradients or c.save_gradients) and not c.weights):
        p.error("--weights and --ids go together, and --gradients and --save-gradients need both")
    if c.device == "auto":
        c.device = "cuda" if torch.cuda.is_available() else "cpu"
    if c.device == "cuda" and not torch.cuda.is_available():
        p.error("PyTorch sees no GPU here; use --device cpu, or a CUDA build of PyTorch on a machine with a GPU")
    return c


def build(c):
    torch.manual_seed(c.seed)
    torch.set_float32_matmul_precision("high" if c.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = c.precision == "tf32"
    dtype = {"bf16-pure": torch.bfloat16, "fp64": torch.float64}.get(c.precision, torch.float32)
    with torch.device(c.device):
        model = Model(c)
        for name, tensor in ordered(model):
            if tensor.dim() == 2:
                nn.init.normal_(tensor, std=0.02)
    model.to(dtype)
    if c.family == LLAMA:  # the table in the type of q and k
        model.cos, model.sin = (x.to(torch.bfloat16 if "bf16" in c.precision else dtype) for x in (model.cos, model.sin))
    return model


def loss_of(model, c, ids, targets):
    with torch.autocast(c.device, torch.bfloat16, enabled=c.precision == "bf16-autocast"):
        logits = model(ids)
        return F.cross_entropy(logits.view(-1, c.vocab_size), targets.view(-1))


def optimizer_of(model, c, name):
    if name == "none":
        return None
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=c.learning_rate)
    way = {"fused": True} if name == "adam-fused" else {"foreach": True}
    return torch.optim.Adam(model.parameters(), lr=c.learning_rate, **way)


def measure(model, c, name):
    cuda, times, losses = c.device == "cuda", [], []
    optimizer = optimizer_of(model, c, name)
    for i in range(c.warmup_iter + c.num_iter):
        ids, targets = torch.randint(c.vocab_size, (2, c.batch_size, c.seq_len), device=c.device)
        if cuda:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            if i == c.warmup_iter:
                torch.cuda.reset_peak_memory_stats()
            first.record()
        start = time.perf_counter()
        model.zero_grad(set_to_none=True)
        loss = loss_of(model, c, ids, targets)
        loss.backward()
        if optimizer:
            optimizer.step()
        if cuda:
            last.record()
            torch.cuda.synchronize()
        if i >= c.warmup_iter:
            times.append(first.elapsed_time(last) if cuda else 1e3 * (time.perf_counter() - start))
            losses.append(loss.item())
        del loss
    model.zero_grad(set_to_none=True)
    peak = torch.cuda.max_memory_allocated() if cuda else None
    return {"optimizer": name, "status": "ok", "reason": "", "median_time_ms": statistics.median(times), "min_time_ms": min(times),
            "avg_time_ms": statistics.fmean(times), "times_ms": times, "peak_bytes": peak, "losses": losses}


def variants(c):
    return ["adam-fused", "adam-foreach"] if c.optimizer == "adam" else [c.optimizer]


def timed(c):
    runs = []
    try:
        model = build(c)
        parameters = sum(x.numel() for _, x in ordered(model))
    except torch.OutOfMemoryError:
        model, parameters = None, None
    for name in variants(c):
        try:
            if not model:
                raise torch.OutOfMemoryError
            runs.append(measure(model, c, name))
        except torch.OutOfMemoryError:  # outside the except clause nothing holds the step's tensors any more
            runs.append({"optimizer": name, "status": "failed", "reason": "out of GPU memory"})
        if model:
            model.zero_grad(set_to_none=True)
        if c.device == "cuda":
            torch.cuda.empty_cache()
    for run in runs:
        peak = f"{run['peak_bytes'] / 2**20:10.0f}" if run.get("peak_bytes") else "         -"
        ms = f"{run['median_time_ms']:10.3f}{run['min_time_ms']:10.3f}" if run["status"] == "ok" else f"  {run['reason']}"
        print(f"{c.preset:<14}{c.precision:<15}{run['optimizer']:<14}{peak} MiB{ms}", file=sys.stderr if c.results == "-" else sys.stdout)
    return {"parameters": parameters, "runs": runs}


def read_raw(path, kind, count):
    """`count` numbers of a raw file of the machine's byte order; kind None: float32 or float64, as the size says."""
    size = os.path.getsize(path)
    if kind is None:
        kind = next((k for k in "fd" if size == count * array.array(k).itemsize), None)
    if kind is None or size != count * array.array(kind).itemsize:
        sys.exit(f"eager: {path} has {size} bytes; this model needs {count} numbers: was it written with the same sizes?")
    numbers = torch.frombuffer(bytearray(open(path, "rb").read()), dtype={"f": torch.float32, "d": torch.float64, "q": torch.int64}[kind])
    return numbers


def compared(mine, theirs):
    mine, theirs = mine.double(), theirs.double()
    length = mine.norm().item()
    error = (theirs - mine).norm().item()
    return {"relative_error": error / length if length else error, "length_ratio": theirs.norm().item() / length if length else None}


def one_step(c):
    model = build(c)
    tensors = list(ordered(model))
    count = sum(x.numel() for _, x in tensors)
    weights, at = read_raw(c.weights, None, count), 0
    tokens = c.batch_size * c.seq_len
    ids, targets = read_raw(c.ids, "q", 2 * tokens).view(2, c.batch_size, c.seq_len).to(c.device)
    if min(ids.min(), targets.min()) < 0 or max(ids.max(), targets.max()) >= c.vocab_size:
        sys.exit(f"eager: {c.ids} has ids outside 0 .. {c.vocab_size - 1}")
    with torch.no_grad():
        for _, x in tensors:
            x.copy_(weights[at:at + x.numel()].view(x.shape))
            at += x.numel()
    loss = loss_of(model, c, ids, targets)
    loss.backward()
    other, at, rows = read_raw(c.gradients, None, count) if c.gradients else None, 0, []
    for name, x in tensors:
        row = {"name": name, "norm": x.grad.double().norm().item()}
        if other is not None:
            row.update(compared(x.grad.flatten().cpu(), other[at:at + x.numel()]))
        at += x.numel()
        rows.append(row)
        error = f"{row['relative_error']:12.2e}" if "relative_error" in row else ""
        print(f"{name:<24}{row['norm']:16.8e}{error}", file=sys.stderr if c.results == "-" else sys.stdout)
    if c.save_gradients:
        with open(c.save_gradients, "wb") as f:
            for _, x in tensors:
                array.array("d", x.grad.double().flatten().tolist()).tofile(f)
    return {"parameters": count, "loss": loss.item(), "gradients": rows}


def main():
    c = arguments()
    name = torch.cuda.get_device_name() if c.device == "cuda" else "CPU"
    out = {"preset": c.preset, "precision": c.precision, "device": c.device, "device_name": name, "torch": torch.__version__,
           "config": {k: getattr(c, k) for k in SIZES + ("num_iter", "warmup_iter", "learning_rate", "seed")}}
    out.update(one_step(c) if c.weights else timed(c))
    text = json.dumps(out, indent=1)
    if c.results == "-":
        print(text)
    else:
        with open(c.results, "w") as f:
            f.write(text + "\n")
    return any(r["status"] != "ok" for r in out.get("runs", []))


if __name__ == "__main__":
    sys.exit(main())
