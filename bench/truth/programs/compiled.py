# SPDX-License-Identifier: MIT
# GPT under torch.compile.
import torch, torch.nn.functional as F
import truth
from nets import GPT, cuda, device

try:
    torch.compile(lambda x: (x + 1).sum())(torch.ones(8, device=device))
except Exception as error:
    truth.skip(f"torch.compile: {type(error).__name__}")
batch, length = (8, 1024) if cuda else (2, 32)
torch.manual_seed(0)
model = (GPT(6, 768) if cuda else GPT(2, 64, 500)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])
step = torch.compile(model)

for it in range(8):
    ids = truth.input(torch.randint(0, model.head.out_features, (batch, length + 1), device=device))
    with torch.autocast(device, torch.bfloat16):
        loss = F.cross_entropy(step(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
