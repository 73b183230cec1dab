# SPDX-License-Identifier: MIT
# Llama of transformers with random weights, AdamW, bf16 autocast over fp32 weights, one GPU.
import torch
import truth
from transformers import LlamaConfig, LlamaForCausalLM

device = "cuda" if torch.cuda.is_available() else "cpu"
width, layers, vocab, length = (1024, 12, 32000, 1024) if device == "cuda" else (128, 2, 500, 32)
torch.manual_seed(0)
config = LlamaConfig(vocab_size=vocab, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                     num_attention_heads=width // 64, num_key_value_heads=width // 128, max_position_embeddings=4096,
                     tie_word_embeddings=False, use_cache=False)
model = LlamaForCausalLM(config).to(device).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
truth.watch([model], [optimizer])

for it in range(8):
    ids = truth.input(torch.randint(0, vocab, (4, length), device=device))
    with torch.autocast(device, torch.bfloat16):
        loss = model(input_ids=ids, labels=ids).loss
    truth.phase("forward", it)
    loss.backward()
    truth.phase("backward", it)
    optimizer.step()
    truth.phase("optimizer", it)
    optimizer.zero_grad()
    truth.phase("zero_grad", it)
