# SPDX-License-Identifier: MIT
# GPT, AdamW, bf16 autocast; gradients are dropped at the end of the iteration.
import torch, torch.nn.functional as F
import truth
from nets import GPT, cuda, device

batch, length = (12, 1024) if cuda else (2, 32)
torch.manual_seed(0)
model = (GPT(12, 768, 50304) if cuda else GPT(2, 64, 500)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
data = torch.randint(0, model.head.out_features, (64, length + 1))
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(data[torch.randint(0, 64, (batch,))].to(device))
    with torch.autocast(device, torch.bfloat16):
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad(set_to_none=True)
    truth.phase("zero_grad", it)
    if it % 4 == 0:
        print(f"{it}: {loss.item():.3f}", flush=True)
