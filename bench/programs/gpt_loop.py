# SPDX-License-Identifier: MIT
# A GPT training loop that waits for commands, so that many instances (bare, recorded, under other profilers) can be
# started once and then timed in turns: python gpt_loop.py {small|big} {none|torchprof|torchprof_mem|memhist}
# Protocol on stdin/stdout: prints "ready"; for each line "go N" runs N iterations and prints their median ms; "end".
import sys, time, statistics, torch, torch.nn as nn

size, mode = sys.argv[1], sys.argv[2]
L, d, T, B = (12, 768, 1024, 8) if size == "big" else (8, 256, 64, 2)
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1, self.l2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.o = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.f1, self.f2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.l1(x)).view(b, t, 3, -1, 64).permute(2, 0, 3, 1, 4)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, d))
        return x + self.f2(nn.functional.gelu(self.f1(self.l2(x))))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(32000, d)
        self.b = nn.ModuleList(Block() for _ in range(L))
        self.h = nn.Linear(d, 32000, bias=False)

    def forward(self, i):
        x = self.e(i)
        for b in self.b:
            x = b(x)
        return self.h(x)


m = GPT().cuda()
opt = torch.optim.AdamW(m.parameters(), lr=1e-4)
ids = torch.randint(0, 32000, (B, T + 1), device="cuda")
nvtx = torch.cuda.nvtx


def step():
    nvtx.range_push("step")
    with torch.autocast("cuda", torch.bfloat16):
        nvtx.range_push("forward")
        out = m(ids[:, :-1])
        loss = nn.functional.cross_entropy(out.flatten(0, 1), ids[:, 1:].flatten())
        nvtx.range_pop()
    nvtx.range_push("backward")
    loss.backward()
    nvtx.range_pop()
    nvtx.range_push("optimizer")
    opt.step()
    opt.zero_grad(set_to_none=True)
    nvtx.range_pop()
    nvtx.range_pop()


for _ in range(10):
    step()
torch.cuda.synchronize()
if mode == "memhist":
    torch.cuda.memory._record_memory_history(max_entries=10_000_000)
prof = None
if mode.startswith("torchprof"):
    A = torch.profiler.ProfilerActivity
    prof = torch.profiler.profile(activities=[A.CPU, A.CUDA], profile_memory=mode == "torchprof_mem")
    prof.start()
    step()
torch.cuda.synchronize()
print("ready", flush=True)
for line in sys.stdin:
    word = line.split()
    if word[0] == "end":
        break
    times = []
    for _ in range(int(word[1])):
        torch.cuda.synchronize()
        t = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - t) * 1e3)
    print(f"{statistics.median(times):.4f}", flush=True)
