# SPDX-License-Identifier: MIT
# Llama training with random weights, no annotations: python llama_loop.py, or under FSDP2: torchrun --nproc-per-node=2.
import os, torch, torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM
from torch.distributed.fsdp import fully_shard

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
torch.cuda.set_device(rank)
if world > 1:
    dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
torch.manual_seed(0)
cfg = LlamaConfig(vocab_size=32000, hidden_size=1024, intermediate_size=4096, num_hidden_layers=12,
                  num_attention_heads=16, num_key_value_heads=8, max_position_embeddings=4096,
                  tie_word_embeddings=False, use_cache=False)
m = LlamaForCausalLM(cfg).cuda().train()
if world > 1:
    for layer in m.model.layers:
        fully_shard(layer)
    fully_shard(m)
opt = torch.optim.AdamW(m.parameters(), lr=1e-4)
ids = torch.randint(0, 32000, (4, 1024), device="cuda")
for _ in range(6):
    with torch.autocast("cuda", torch.bfloat16):
        loss = m(input_ids=ids, labels=ids).loss
    loss.backward()
    opt.step()
    opt.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
if world > 1:
    dist.destroy_process_group()
