# SPDX-License-Identifier: MIT
# Inference only: each request gets a key-value cache of full length, a prefill and a decode loop. No backward, no optimizer.
import torch, torch.nn as nn, torch.nn.functional as F
import truth
from nets import GPT, cuda, device

batch, prompt, new, limit = (16, 1024, 64, 2048) if cuda else (2, 8, 4, 16)
torch.manual_seed(0)
model = (GPT(16, 1024, 32000, 2048) if cuda else GPT(2, 64, 500)).to(device, torch.bfloat16).eval()
truth.watch([model])


def forward(ids, cache, at):
    x = model.tokens(ids) + model.positions(model.index[at : at + ids.shape[1]])
    b, t, d = x.shape
    for block, (keys, values) in zip(model.blocks, cache):
        q, k, v = block.qkv(block.l1(x)).view(b, t, 3, -1, 64).permute(2, 0, 3, 1, 4)
        keys[:, :, at : at + t], values[:, :, at : at + t] = k, v
        a = F.scaled_dot_product_attention(q, keys[:, :, : at + t], values[:, :, : at + t], is_causal=t > 1)
        x = x + block.o(a.transpose(1, 2).reshape(b, t, d))
        x = x + block.f2(F.gelu(block.f1(block.l2(x))))
    return model.head(model.norm(x[:, -1:]))


@torch.no_grad()
def generate(ids):
    d = model.norm.weight
    cache = [[d.new_zeros(batch, d.numel() // 64, limit, 64) for _ in "kv"] for _ in model.blocks]
    out, at = ids, 0
    while out.shape[1] < prompt + new:
        logits = forward(out[:, at:], cache, at)
        at = out.shape[1]
        token = torch.multinomial(logits[:, -1].float().softmax(-1), 1)
        out = torch.cat([out, token], 1)
    return out


for request in range(5):
    ids = truth.input(torch.randint(0, model.head.out_features, (batch, prompt)).to(device))
    answer = generate(ids)
    truth.phase("forward", request)
    print(request, answer[0, -4:].tolist(), flush=True)
