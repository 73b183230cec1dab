/* SPDX-License-Identifier: MIT
 *
 * line_place.c: tells the program's own code from that of libraries, by the name of its file alone: the machine that
 * reads a recording need not be the one it was made on. It must never open a file.
 */
#include <string.h>

#include "lines.h"

/* Of PyTorch where it is not in a folder of packages (built in place). */
static bool is_torch(const char *file)
{
    static const char *const parts[] = {"_",        "accelerator/", "amp/",   "ao/",       "autograd/",      "backends/",
                                        "cuda/",    "distributed/", "distributions/",      "export/",        "fft/",
                                        "func/",    "functional.py", "futures/", "fx/",    "hub.py",         "jit/",
                                        "library.py", "linalg/",    "masked/", "multiprocessing/", "nested/", "nn/",
                                        "onnx/",    "optim/",       "overrides.py", "package/", "profiler/", "quantization/",
                                        "random.py", "serialization.py", "signal/", "sparse/", "special/", "storage.py",
                                        "testing/", "utils/"};
    for (const char *at = file; (at = strstr(at, "/torch/")); at++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (!strncmp(at + 7, parts[i], strlen(parts[i]))) return true;
    return false;
}

static bool is_standard_library(const char *file)
{
    static const char *const folders[] = {"/lib/python3", "/lib64/python3", "/lib/pypy3"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *at = strstr(file, folders[i]);
        if (at && strchr(at + 5, '/')) return true;
    }
    return false;
}

bool vs_line_is_library(const char *file)
{
    static const char *const begins[] = {"<frozen ", "<eval_with_key>", "<__array_function__", "<attrs generated "};
    static const char *const contains[] = {"/site-packages/", "/dist-packages/", "/torchinductor_", ".zip/"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (!strncmp(file, begins[i], strlen(begins[i]))) return true;
    for (size_t i = 0; i < sizeof contains / sizeof *contains; i++)
        if (strstr(file, contains[i])) return true;
    return is_standard_library(file) || is_torch(file);
}
