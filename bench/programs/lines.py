# SPDX-License-Identifier: MIT
#
# lines.py: prints what one allocation costs, in ns, below 10 and 60 Python frames: one line "NAME NS" for each case.
# Allocations are made by the stand-in of libc10_cuda, a thousand in a row from C, so that only they are measured.
#   plain    Python functions that call each other
#   modules  every second call goes through C, as that of a torch.nn.Module does
#   released, held: the GIL, which PyTorch releases before it allocates
import ctypes
import threading
import time

EACH = 1000
ROUNDS = 151


class Module:
    def __call__(self, depth, measure):
        return self.forward(depth, measure)

    def forward(self, depth, measure):
        return module(depth - 2, measure) if depth > 2 else measure(EACH)


module = Module()


def plain(depth, measure):
    return plain(depth - 1, measure) if depth > 1 else measure(EACH)


def cost(call, depth, measure):
    each = []
    for _ in range(ROUNDS):
        each.append(call(depth - 3, measure))
        time.sleep(0.0005)
    return sorted(each)[ROUNDS // 4]  # the rest of the machine works too: what it takes is not ours


def on_a_thread(*args):
    result = []
    thread = threading.Thread(target=lambda: result.append(cost(*args)))
    thread.start()
    thread.join()
    return result[0]


def main():
    ctypes.CDLL("libc10.so")
    measures = {"released": ctypes.CDLL("libc10_cuda.so").fake_torch_cost, "held": ctypes.PyDLL("libc10_cuda.so").fake_torch_cost}
    for measure in measures.values():
        measure.argtypes, measure.restype = [ctypes.c_int], ctypes.c_double
        measure(1)
    time.sleep(0.5)
    for gil, measure in measures.items():
        for depth in (10, 60):
            for call in (plain, module):
                name = "%s,%d,%s" % ("modules" if call is module else "plain", depth, gil)
                print(name + ",main", "%.0f" % cost(call, depth, measure))
                print(name + ",thread", "%.0f" % on_a_thread(call, depth, measure))


main()
