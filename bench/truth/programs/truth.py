# SPDX-License-Identifier: MIT
# What a PyTorch program itself knows about its memory, written down while it runs, to check a recording against.
# Used by the programs of this folder through four calls: watch, phase, input and skip. Without TRUTH_OUT they do nothing more.
#
#   TRUTH_OUT=PATH      JSON lines to PATH.rankN: at the end of each phase the time (CLOCK_MONOTONIC), the allocator's live
#                       bytes, and the storages (pointer, bytes) on the device of each kind:
#                         P parameters and buffers, U parameters gathered by FSDP, G gradients, O optimizer state, I inputs
#                       A kind that is the same as at the phase before is left out. Gradients are also listed as they are born.
#   TRUTH_HISTORY=PATH  PyTorch's own memory history with Python stacks, pickled to PATH.rankN at the end.
#
# It must never allocate on the device, wait for it, or keep a tensor alive that the program would free.
import atexit, gzip, json, os, pickle, sys, time, weakref
import torch

_rank = int(os.environ.get("RANK", 0))
_kind = "cuda" if torch.cuda.is_available() else "cpu"
_device = int(os.environ.get("LOCAL_RANK", 0))
_history = os.environ.get("TRUTH_HISTORY")
_out = None
_parameters, _modules, _optimizers = [], [], []
_inputs, _births = [], []
_last = {}


def _line(**fields):
    _out.write(json.dumps(fields, separators=(",", ":")) + "\n")


def _allocated():
    return torch.cuda.memory_allocated(_device) if _kind == "cuda" else 0


def _storage(t):
    """(pointer, bytes) of what the tensor lies in, None when that is not memory of the device."""
    t = getattr(t, "_local_tensor", t)  # of a DTensor
    if not torch.is_tensor(t) or t.device.type != _kind:
        return None
    s = t.untyped_storage()
    return (s.data_ptr(), s.nbytes()) if s.nbytes() else None


def _storages(tensors):
    return sorted({s for s in map(_storage, tensors) if s})


def _gathered():
    """Full parameters that FSDP holds at this moment, beside the shards."""
    for r in _parameters:
        p = r()
        if getattr(p, "_local_shard", None) is not None:  # FullyShardedDataParallel: data is one or the other
            yield p.data
            yield getattr(p, "_full_param_padded", None)
            yield getattr(p, "_full_prec_full_param_padded", None)
    for r in _modules:
        state = getattr(r(), "_get_fsdp_state", lambda: None)()  # fully_shard
        groups = [getattr(state, "_fsdp_param_group", None), *(getattr(state, "_fsdp_param_groups", None) or [])]
        for group in groups:
            for fsdp_param in getattr(group, "fsdp_params", []):
                yield from getattr(fsdp_param, "all_gather_outputs", [])


def _parameter(p):
    shard = getattr(p, "_local_shard", None)
    return p if shard is None else shard


def _states():
    for r in _optimizers:
        for state in (r().state if r() else {}).values():
            for v in state.values():
                yield from v if isinstance(v, (list, tuple)) else [v]


def _grads():
    for r in _parameters:
        p = r()
        if p is not None:
            yield p.grad
            yield getattr(p, "_saved_grad_shard", None)


def _live():
    alive = [r() for r in _parameters if r() is not None]
    buffers = [b for r in _modules if r() is not None for b in r()._buffers.values()]
    live = {"P": _storages([_parameter(p) for p in alive] + buffers), "G": _storages(_grads()), "O": _storages(_states())}
    live["U"] = [s for s in _storages(_gathered()) if s not in live["P"]]
    return live


def _born(p):
    s = _storage(p.grad)
    if s:  # FullyShardedDataParallel: still the gradient of the full parameter
        _births.append((time.monotonic_ns(), *s, "birth" if getattr(p, "_local_shard", None) is None else "unsharded"))


def watch(models=(), optimizers=()):
    """Once, when models and optimizers are made: what to look at from now on."""
    if not os.environ.get("TRUTH_OUT"):
        return
    for model in models:
        for m in model.modules():
            _modules.append(weakref.ref(m))
        for p in model.parameters():
            _parameters.append(weakref.ref(p))
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(_born)
    _optimizers.extend(weakref.ref(o) for o in optimizers)
    phase("setup", -1)


def phase(name, iteration):
    """At the end of each phase."""
    if not _out:
        return
    t, allocated = time.monotonic_ns(), _allocated()
    for born in _births:
        _line(what=born[3], t=born[0], at=born[1], bytes=born[2])
    for i in _inputs:
        _line(what="input", t=i[0], at=i[1], bytes=i[2])
    _births.clear()
    _inputs.clear()
    live = {k: v for k, v in _live().items() if v != _last.get(k)}
    _last.update(live)
    _line(what="phase", name=name, iteration=iteration, t=t, allocated=allocated, **live)
    _out.flush()


def input(t):
    """A batch on the device; gives it back."""
    if _out and _storage(t):
        _inputs.append((time.monotonic_ns(), *_storage(t)))
    return t


def skip(reason):
    """This machine cannot run the program: says why and ends it."""
    print("skipped:", reason, flush=True)
    if _out:
        _line(what="skip", reason=str(reason))
    sys.exit(0)


def _end():
    fields = {"allocated": _allocated()}
    if _kind == "cuda" and torch.cuda.is_initialized():
        s = torch.cuda.memory_stats(_device)
        fields.update(max_allocated=s.get("allocated_bytes.all.peak", 0), max_reserved=s.get("reserved_bytes.all.peak", 0),
                      allocations=s.get("allocation.all.allocated", 0), frees=s.get("allocation.all.freed", 0))
    _line(what="end", t=time.monotonic_ns(), **fields)
    _out.close()


def _end_history():
    with gzip.open(f"{_history}.rank{_rank}", "wb", compresslevel=1) as f:
        pickle.dump(torch.cuda.memory._snapshot(_device), f)
    torch.cuda.memory._record_memory_history(enabled=None)


if os.environ.get("TRUTH_OUT"):
    _out = open(f"{os.environ['TRUTH_OUT']}.rank{_rank}", "w")
    _line(what="start", t=time.monotonic_ns(), pid=os.getpid(), rank=_rank, device=_device, torch=torch.__version__)
    atexit.register(_end)
if _history and _kind == "cuda":
    torch.cuda.set_device(_device)
    torch.cuda.init()
    torch.cuda.memory._record_memory_history(enabled="all", context="alloc", stacks="python", max_entries=10**6)
    atexit.register(_end_history)
