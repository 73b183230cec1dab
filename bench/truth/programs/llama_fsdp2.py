# SPDX-License-Identifier: MIT
# Llama under FSDP2, sharded layer by layer: torchrun --nproc-per-node=2 llama_fsdp2.py
import os, torch, torch.distributed as dist
import truth
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

rank = int(os.environ["LOCAL_RANK"])
torch.cuda.set_device(rank)
dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
torch.manual_seed(0)
config = LlamaConfig(vocab_size=32000, hidden_size=1024, intermediate_size=4096, num_hidden_layers=12,
                     num_attention_heads=16, num_key_value_heads=8, max_position_embeddings=4096,
                     tie_word_embeddings=False, use_cache=False)
model = LlamaForCausalLM(config).cuda().train()
policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
for layer in model.model.layers:
    fully_shard(layer, mp_policy=policy)
fully_shard(model, mp_policy=policy)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(torch.randint(0, 32000, (4, 1024), device="cuda"))
    loss = model(input_ids=ids, labels=ids).loss
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad(set_to_none=True)
    truth.phase("zero_grad", it)
dist.destroy_process_group()
