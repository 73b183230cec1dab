# SPDX-License-Identifier: MIT
# SGD without momentum: there is no optimizer state. float32 throughout.
import torch, torch.nn as nn
import truth

cuda = torch.cuda.is_available()
device = "cuda" if cuda else "cpu"
width, batch = (4096, 16384) if cuda else (64, 8)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, width), nn.ReLU(), *(layer for _ in range(6) for layer in (
    nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1))), nn.Linear(width, 10)).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
truth.watch([model], [optimizer])

for it in range(8):
    x, y = truth.input(torch.rand(batch, 784).to(device)), truth.input(torch.randint(0, 10, (batch,)).to(device))
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
    loss = criterion(model(x), y)
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
