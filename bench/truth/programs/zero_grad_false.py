# SPDX-License-Identifier: MIT
# Gradients are cleared in place, never dropped.
import torch, torch.nn.functional as F
import truth
from nets import GPT, cuda, device

batch, length = (8, 1024) if cuda else (2, 32)
torch.manual_seed(0)
model = (GPT(8, 768) if cuda else GPT(2, 64, 500)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])

for it in range(6):
    optimizer.zero_grad(set_to_none=False)
    truth.phase("zero_grad", it)
    ids = truth.input(torch.randint(0, model.head.out_features, (batch, length + 1), device=device))
    with torch.autocast(device, torch.bfloat16):
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
