# SPDX-License-Identifier: MIT
# ResNet-50 in fp16 autocast with a gradient scaler; cuDNN tries its algorithms first.
import torch, torch.nn as nn
import truth
from nets import ResNet, cuda, device

batch, side = (96, 224) if cuda else (2, 64)
torch.backends.cudnn.benchmark = True
torch.manual_seed(0)
model = (ResNet() if cuda else ResNet((1, 1, 1, 1), 10)).to(device, memory_format=torch.channels_last)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
scaler = torch.amp.GradScaler(device)
truth.watch([model], [optimizer])

for it in range(8):
    images = torch.rand(batch, 3, side, side).to(device, memory_format=torch.channels_last)
    images, labels = truth.input(images), truth.input(torch.randint(0, 10, (batch,), device=device))
    optimizer.zero_grad(set_to_none=True)
    truth.phase("zero_grad", it)
    with torch.autocast(device, torch.float16):
        loss = criterion(model(images), labels)
    truth.phase("forward", it)
    scaler.scale(loss).backward()
    truth.phase("backward", it)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    scaler.step(optimizer)
    scaler.update()
    truth.phase("optimizer", it)
