# SPDX-License-Identifier: MIT
# Llama with activation checkpointing (not reentrant) and gradients accumulated over four batches.
import torch
import truth
from transformers import LlamaConfig, LlamaForCausalLM

device = "cuda" if torch.cuda.is_available() else "cpu"
width, layers, vocab, length = (1024, 12, 32000, 1024) if device == "cuda" else (128, 2, 500, 32)
accumulate = 4
torch.manual_seed(0)
config = LlamaConfig(vocab_size=vocab, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                     num_attention_heads=width // 64, num_key_value_heads=width // 128, max_position_embeddings=4096,
                     tie_word_embeddings=False, use_cache=False)
model = LlamaForCausalLM(config).to(device)
model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 4))
truth.watch([model], [optimizer])

for it in range(6):
    total = 0.0
    for micro in range(accumulate):
        ids = truth.input(torch.randint(0, vocab, (4, length)).to(device))
        with torch.autocast(device, torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss / accumulate
        truth.phase("forward", it)
        loss.backward()
        truth.phase("backward", it)
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
    print(f"{it}: {total.item():.3f}", flush=True)
