# SPDX-License-Identifier: MIT
# GPT under DistributedDataParallel: torchrun --nproc-per-node=2 ddp.py [--bucket-view]
import os, sys, torch, torch.distributed as dist, torch.nn.functional as F
import truth
from nets import GPT
from torch.nn.parallel import DistributedDataParallel

rank = int(os.environ["LOCAL_RANK"])
torch.cuda.set_device(rank)
dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
torch.manual_seed(0)
model = GPT(12, 768).cuda()
wrapped = DistributedDataParallel(model, device_ids=[rank], gradient_as_bucket_view="--bucket-view" in sys.argv)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(torch.randint(0, 32000, (8, 1025), device="cuda"))
    with torch.autocast("cuda", torch.bfloat16):
        loss = F.cross_entropy(wrapped(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    truth.phase("forward", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
dist.destroy_process_group()
