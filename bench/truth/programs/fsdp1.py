# SPDX-License-Identifier: MIT
# GPT under the older FullyShardedDataParallel: torchrun --nproc-per-node=2 fsdp1.py
import functools, os, torch, torch.distributed as dist, torch.nn.functional as F
import truth
from nets import GPT, Block
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

rank = int(os.environ["LOCAL_RANK"])
torch.cuda.set_device(rank)
dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
torch.manual_seed(0)
model = FullyShardedDataParallel(GPT(12, 1024), device_id=rank,
                                 auto_wrap_policy=functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Block}),
                                 mixed_precision=MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(torch.randint(0, 32000, (8, 1025), device="cuda"))
    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1).float(), ids[:, 1:].flatten())
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
dist.destroy_process_group()
