# SPDX-License-Identifier: MIT
# The logits and the loss of an iteration stay in variables until the next one replaces them; every loss stays in a list.
import torch, torch.nn.functional as F
import truth
from nets import GPT, cuda, device

batch, length = (8, 1024) if cuda else (2, 32)
torch.manual_seed(0)
model = (GPT(6, 768) if cuda else GPT(2, 64, 500)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])
losses, best, best_logits = [], float("inf"), None

for it in range(8):
    ids = truth.input(torch.randint(0, model.head.out_features, (batch, length + 1), device=device))
    logits = model(ids[:, :-1])
    probabilities = logits.detach().softmax(-1)
    loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    truth.phase("forward", it)
    optimizer.zero_grad()
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    losses.append(loss)
    if loss.item() < best:
        best, best_logits = loss.item(), logits.detach()
print(torch.stack(losses).detach().tolist())
