# SPDX-License-Identifier: MIT
# ResNet-50, SGD with momentum; every iteration moves a new batch to the GPU and drops the gradients after its forward.
import torch, torch.nn as nn
import truth
from nets import ResNet, cuda, device

batch, side = (64, 224) if cuda else (2, 64)
torch.manual_seed(0)
model = (ResNet() if cuda else ResNet((1, 1, 1, 1), 10)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
truth.watch([model], [optimizer])


def batches(n):
    for _ in range(n):
        yield torch.rand(batch, 3, side, side), torch.randint(0, model.fc.out_features, (batch,))


model.train()
for it, (images, labels) in enumerate(batches(8)):
    if cuda:
        images = images.pin_memory()
    images = truth.input(images.to(device, non_blocking=True))
    labels = truth.input(labels.to(device, non_blocking=True))
    output = model(images)
    loss = criterion(output, labels)
    truth.phase("forward", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    correct = (output.argmax(1) == labels).float().mean()
    print(f"{it}: {loss.item():.3f} {correct.item():.3f}", flush=True)
