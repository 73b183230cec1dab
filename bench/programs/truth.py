# SPDX-License-Identifier: MIT
# Runs a PyTorch program unchanged and then prints what PyTorch itself knows about the run, one JSON line per process:
#   python truth.py [--profile | --profile-twice] PROGRAM ARGS...
# --profile: under torch.profiler from before its first CUDA call, and counts the kernels, copies and sets it saw.
import json, os, runpy, sys

mode = sys.argv[1] if sys.argv[1].startswith("--") else ""
args = sys.argv[2:] if mode else sys.argv[1:]
import torch

prof = None
if mode == "--profile":
    prof = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    prof.start()
sys.argv = args
runpy.run_path(args[0], run_name="__main__")
torch.cuda.synchronize()
device = torch.cuda.current_device()
torch.cuda.nvtx.mark("truth")  # what is freed later, while the interpreter ends, is not in these numbers
stats = torch.cuda.memory_stats(device)
truth = {"rank": int(os.environ.get("RANK", 0)), "device": device,
         "max_allocated": torch.cuda.max_memory_allocated(device), "max_reserved": torch.cuda.max_memory_reserved(device),
         "allocations": stats.get("allocation.all.allocated", 0), "frees": stats.get("allocation.all.freed", 0),
         "device_allocations": stats.get("num_device_alloc", 0), "device_frees": stats.get("num_device_free", 0)}
if prof:
    prof.stop()
    path = f"/tmp/vramscope-truth-{os.getpid()}.json"
    prof.export_chrome_trace(path)
    events = json.load(open(path))["traceEvents"]
    os.unlink(path)
    for cat in ("kernel", "gpu_memcpy", "gpu_memset"):
        truth[cat] = sum(e.get("cat") == cat for e in events)
print("TRUTH " + json.dumps(truth), flush=True)
