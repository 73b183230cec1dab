# SPDX-License-Identifier: MIT
# The parts that run.sh names, the most important first, and how many GPUs they may use. It measures nothing.
import glob, os, sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "train"))  # context.py, show.py

import part_correct, part_drills, part_overlap, part_scaling, part_stages, part_steps, part_timing
from show import Show, words_of

PARTS = {"correct": part_correct.run, "steps": part_steps.run, "scaling": part_scaling.run, "overlap": part_overlap.run,
         "timing": part_timing.run, "stages": part_stages.run, "drills": part_drills.run}
CPU_RANKS = 2


def gpus():
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([x for x in chosen.split(",") if x.strip()])
    listed = [x for x in words_of(["nvidia-smi", "-L"]).splitlines() if x.startswith("GPU ")]
    return len(listed) or len(glob.glob("/proc/driver/nvidia/gpus/*"))


class Sharded(Show):
    def add_options(self, parser):
        parser.add_argument("--gpus", type=int, default=None, metavar="N", help=f"use at most N (all); with --device cpu: ranks ({CPU_RANKS})")

    def check_options(self, parser, a):
        there = gpus() if a.device == "cuda" else 64
        if not there:
            parser.error("there is no GPU here; --device cpu shows that it works")
        if a.gpus is not None and not 1 <= a.gpus <= there:
            parser.error(f"--gpus {a.gpus}: 1 to {there}")
        a.gpus = a.gpus or (there if a.device == "cuda" else CPU_RANKS)
        a.worlds = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= a.gpus]

    def more_identity(self, a):
        return {"ranks": ", ".join(map(str, a.worlds)), "nccl_nvls": os.environ["NCCL_NVLS_ENABLE"]}

    def head(self, i):
        return f"{super().head(i)}; at {i['ranks']} ranks; NCCL_NVLS_ENABLE={i['nccl_nvls']}"


if __name__ == "__main__":
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")  # what was measured is not NVLink's multicast
    sys.exit(Sharded("Sharded training: bench/shard/run.sh", "The evidence of sharded training, part by part.", PARTS,
                     {"quick": 330, "full": 1260}).main())
