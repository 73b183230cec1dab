# SPDX-License-Identifier: MIT
# Two models in turns: the discriminator learns from detached images, then the generator through the discriminator.
import torch, torch.nn as nn, torch.nn.functional as F
import truth

cuda = torch.cuda.is_available()
device = "cuda" if cuda else "cpu"
batch, width = (256, 64) if cuda else (4, 4)
torch.manual_seed(0)
up = lambda cin, cout: (nn.ConvTranspose2d(cin, cout, 4, 2, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(True))
down = lambda cin, cout: (nn.Conv2d(cin, cout, 4, 2, 1, bias=False), nn.BatchNorm2d(cout), nn.LeakyReLU(0.2, True))
G = nn.Sequential(nn.ConvTranspose2d(128, 16 * width, 4), nn.BatchNorm2d(16 * width), nn.ReLU(True),
                  *up(16 * width, 8 * width), *up(8 * width, 4 * width), *up(4 * width, 2 * width), *up(2 * width, width),
                  nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh()).to(device)
D = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, True), *down(width, 2 * width),
                  *down(2 * width, 4 * width), *down(4 * width, 8 * width), *down(8 * width, 16 * width),
                  nn.Conv2d(16 * width, 1, 4)).to(device)
opt_g = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
bce = F.binary_cross_entropy_with_logits
truth.watch([G, D], [opt_g, opt_d])

for it in range(8):
    real = truth.input(torch.rand(batch, 3, 128, 128, device=device) * 2 - 1)
    noise = torch.randn(batch, 128, 1, 1, device=device)
    one, zero = torch.ones(batch, device=device), torch.zeros(batch, device=device)

    opt_d.zero_grad()
    fake = G(noise)
    loss_d = bce(D(real).flatten(), one) + bce(D(fake.detach()).flatten(), zero)
    truth.phase("forward", it)
    loss_d.backward()
    truth.phase("backward", it)
    opt_d.step()
    truth.phase("optimizer", it)

    opt_g.zero_grad()
    loss_g = bce(D(fake).flatten(), one)
    truth.phase("forward", it)
    loss_g.backward()
    truth.phase("backward", it)
    opt_g.step()
    truth.phase("optimizer", it)
