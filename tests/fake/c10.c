/* SPDX-License-Identifier: MIT
 *
 * fake/c10.c: stand-in for PyTorch's libc10.so: the functions its allocator reports to, in every ABI form. Counts calls
 * and adds up what it was given, so that a program can check that every call was passed on unchanged.
 * Must never do anything with the values.
 */
#include <stdint.h>

struct device {
    int8_t type, index;
};

enum { FORM_LMM, FORM_LLL, FORM_L, OOM_LMM, OOM_MMM, OOM_LLL, FORMS };
static uint64_t calls[FORMS], sums[FORMS];

__attribute__((visibility("default"))) uint64_t fake_c10_calls(int form);
__attribute__((visibility("default"))) uint64_t fake_c10_sum(int form);
uint64_t fake_c10_calls(int form)
{
    return __atomic_load_n(&calls[form], __ATOMIC_RELAXED);
}
uint64_t fake_c10_sum(int form)
{
    return __atomic_load_n(&sums[form], __ATOMIC_RELAXED);
}

static void got(int form, uint64_t ptr, uint64_t bytes, uint64_t allocated, uint64_t reserved, struct device d)
{
    __atomic_fetch_add(&calls[form], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums[form], ptr + 3 * bytes + 5 * allocated + 7 * reserved + 11 * (uint64_t)(uint8_t)d.type +
                                        13 * (uint64_t)(uint8_t)d.index,
                       __ATOMIC_RELAXED);
}

#define EXPORTED __attribute__((visibility("default")))
#define USAGE(name, form, total_t, types)                                                                      \
    EXPORTED void name(void *p, int64_t n, total_t a, total_t r, struct device d) __asm__(                     \
        "_ZN3c1027reportMemoryUsageToProfilerEPv" types "NS_6DeviceE");                                        \
    void name(void *p, int64_t n, total_t a, total_t r, struct device d)                                       \
    {                                                                                                          \
        got(form, (uint64_t)(uintptr_t)p, (uint64_t)n, (uint64_t)a, (uint64_t)r, d);                           \
    }
USAGE(usage_lmm, FORM_LMM, uint64_t, "lmm")
USAGE(usage_lll, FORM_LLL, int64_t, "lll")

EXPORTED void usage_l(void *p, int64_t n, struct device d) __asm__("_ZN3c1027reportMemoryUsageToProfilerEPvlNS_6DeviceE");
void usage_l(void *p, int64_t n, struct device d)
{
    got(FORM_L, (uint64_t)(uintptr_t)p, (uint64_t)n, 0, 0, d);
}

#define OOM(name, form, size_type, total_t, types)                                                             \
    EXPORTED void name(size_type n, total_t a, total_t r, struct device d) __asm__(                            \
        "_ZN3c1027reportOutOfMemoryToProfilerE" types "NS_6DeviceE");                                          \
    void name(size_type n, total_t a, total_t r, struct device d)                                              \
    {                                                                                                          \
        got(form, 0, (uint64_t)n, (uint64_t)a, (uint64_t)r, d);                                                \
    }
OOM(oom_lmm, OOM_LMM, int64_t, uint64_t, "lmm")
OOM(oom_mmm, OOM_MMM, uint64_t, uint64_t, "mmm")
OOM(oom_lll, OOM_LLL, int64_t, int64_t, "lll")
