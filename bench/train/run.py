# SPDX-License-Identifier: MIT
# The parts that run.sh names, and what they need beside the device: a Python with PyTorch. It measures nothing.
import sys
import part_breakdown, part_notes, part_post_mortem, part_pytorch
from show import Show, words_of

PARTS = {"agree": part_pytorch.agree, "parity": part_pytorch.parity, "breakdown": part_breakdown.run, "post-mortem": part_post_mortem.run,
         "notes": part_notes.run, "eager": part_pytorch.eager}


class Training(Show):
    def add_options(self, parser):
        parser.add_argument("--python", default=sys.executable, help="one with PyTorch")

    def more_identity(self, a):
        return {"torch": words_of([a.python, "-c", "import torch; print(torch.__version__, 'CUDA', torch.version.cuda)"]) or "none"}

    def head(self, i):
        return f"{super().head(i)}; PyTorch {i['torch']}"


if __name__ == "__main__":
    sys.exit(Training("The training step and its recordings: bench/train/run.sh", "The evidence of the training step, part by part.", PARTS,
                      {"quick": 235, "full": 715}).main())
