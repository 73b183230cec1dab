# SPDX-License-Identifier: MIT
# A critic with a gradient penalty: the loss contains a gradient, so backward runs through a backward.
import torch, torch.nn as nn
import truth

cuda = torch.cuda.is_available()
device = "cuda" if cuda else "cpu"
batch, width = (256, 96) if cuda else (4, 4)
torch.manual_seed(0)
down = lambda cin, cout: (nn.Conv2d(cin, cout, 4, 2, 1), nn.GroupNorm(4, cout), nn.SiLU())
critic = nn.Sequential(*down(3, width), *down(width, 2 * width), *down(2 * width, 4 * width),
                       *down(4 * width, 8 * width), nn.Flatten(), nn.Linear(8 * width * 64, 1)).to(device)
optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.9))
truth.watch([critic], [optimizer])

for it in range(6):
    real = truth.input(torch.rand(batch, 3, 128, 128, device=device))
    fake = truth.input(torch.rand(batch, 3, 128, 128, device=device))
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
    mix = torch.rand(batch, 1, 1, 1, device=device)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    score = critic(between)
    slope = torch.autograd.grad(score.sum(), between, create_graph=True)[0]
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
