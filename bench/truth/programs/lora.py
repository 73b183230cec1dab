# SPDX-License-Identifier: MIT
# A frozen bf16 model; only small adapters beside its linear layers learn.
import torch, torch.nn as nn, torch.nn.functional as F
import truth
from nets import GPT, cuda, device


class Adapted(nn.Module):
    def __init__(self, base, r=16):
        super().__init__()
        self.base, weight = base, base.weight
        self.a = nn.Parameter(torch.randn(r, base.in_features, device=weight.device) * 0.01)
        self.b = nn.Parameter(torch.zeros(base.out_features, r, device=weight.device))

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))


batch, length = (8, 1024) if cuda else (2, 32)
torch.manual_seed(0)
model = (GPT(16, 1536) if cuda else GPT(2, 64, 500)).to(device, torch.bfloat16).requires_grad_(False)
for block in model.blocks:
    block.qkv, block.o = Adapted(block.qkv), Adapted(block.o)
learning = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(learning, lr=1e-3)
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(torch.randint(0, model.head.out_features, (batch, length + 1), device=device))
    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1).float(), ids[:, 1:].flatten())
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
