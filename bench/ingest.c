/* SPDX-License-Identifier: MIT
 *
 * ingest.c: how fast logs become a database: records per second of three kinds, memory, size. It decides nothing: the
 * targets (1 000 000 allocator, 400 000 kernel or range records a second, on two cores) are printed beside the numbers.
 *
 * Usage: ingest [RECORDS [KIND]]; kinds: torch, cuda, kernel, range, mixed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../db/ingest.h"
/* the writer of the tests, as it is: benches link no test */
#include "../tests/log_records.c"
#include "../tests/log_writer.c"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

#define LIVE 4000u /* blocks live at a time: a large training step */

static uint64_t address_of(uint64_t n)
{
    return 0x7f0000000000ull + n * 0x200000ull;
}

/* Blocks are freed in about the order they were made, with some that stay: as in training. */
static uint64_t allocations(struct vs_log_writer *w, uint64_t records, bool torch)
{
    static uint64_t live[LIVE];
    uint64_t seed = 88172645463325252ull, ts = 2000, i, total = 0;
    memset(live, 0, sizeof live);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, address_of(0), 64ull << 30, 0, ts);
    for (i = 0; i < records; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        unsigned slot = (unsigned)(seed % LIVE);
        uint64_t bytes = 512 * (1 + (slot & 1023)), range = 0;
        unsigned thread = 1 + (seed >> 40) % 2;
        ts += 700;
        if (torch) {
            int64_t signed_bytes = live[slot] ? -(int64_t)bytes : (int64_t)bytes;
            total += (uint64_t)signed_bytes;
            vs_put_torch(w, thread, 0, address_of(slot), signed_bytes, total, 64ull << 30, range, ts);
        } else if (live[slot]) {
            vs_put_free(w, thread, VS_MEM_CUDA, address_of(0x100000 + slot), range, ts);
        } else {
            vs_put_alloc(w, thread, 0, VS_MEM_CUDA, address_of(0x100000 + slot), bytes, range, ts);
        }
        live[slot] = !live[slot];
    }
    return records;
}

static uint64_t kernels(struct vs_log_writer *w, uint64_t records)
{
    uint64_t ts = 2000;
    char name[64];
    for (int i = 1; i <= 200; i++) {
        snprintf(name, sizeof name, "_Z6kernelILi%dEEvPfi", i);
        vs_put_string(w, 2, (uint64_t)i, name);
    }
    for (uint32_t i = 1; i <= records / 2; i++) {
        ts += 5000;
        vs_put_launch(w, 1, i, 0, ts);
        vs_put_kernel(w, 2, 0, i, 1 + i % 200, ts + 3000, ts + 7000);
    }
    return records;
}

static uint64_t ranges(struct vs_log_writer *w, uint64_t records)
{
    uint64_t stack[4], ts = 2000, i;
    char name[32];
    for (i = 0; i + 8 <= records; i += 8) {
        for (int d = 0; d < 4; d++) {
            snprintf(name, sizeof name, "layer %d", (int)(i / 8 % 50) * d);
            stack[d] = vs_put_range(w, 1, name, d ? stack[d - 1] : 0, 0, ts += 900);
        }
        for (int d = 3; d >= 0; d--) vs_put_range_end(w, 1, stack[d], ts += 900);
    }
    return i;
}

/* A step as it is: allocations and launches within ranges. */
static uint64_t mixed(struct vs_log_writer *w, uint64_t records)
{
    uint64_t ts = 2000, n = 0;
    uint32_t correlation = 0;
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, address_of(0), 64ull << 30, 0, ts);
    vs_put_string(w, 2, 1, "kernel");
    while (n < records) {
        uint64_t outer = vs_put_range(w, 1, "forward", 0, 0, ts += 900);
        for (int i = 0; i < 8; i++) {
            vs_put_torch(w, 1, 0, address_of((uint64_t)i), 1 << 20, 0, 0, outer, ts += 500);
            vs_put_launch(w, 1, ++correlation, outer, ts += 500);
            vs_put_kernel(w, 2, 0, correlation, 1, ts + 2000, ts + 5000);
            vs_put_torch(w, 1, 0, address_of((uint64_t)i), -(1 << 20), 0, 0, outer, ts += 500);
            n += 4;
        }
        vs_put_range_end(w, 1, outer, ts += 500);
        n += 2;
    }
    return n;
}

static int measure(const char *folder, const char *kind, uint64_t records, double target)
{
    struct vs_log_writer_options o = {.run = folder, .pid = 999999};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    struct vs_error e = {""};
    struct vs_ingest *in = NULL;
    struct stat st = {0};
    struct rusage u;
    char db[300], log[800];
    snprintf(log, sizeof log, "%s/" VS_LOG_NAME, vs_log_writer_folder(w));
    uint64_t n = !strcmp(kind, "torch")    ? allocations(w, records, true)
                 : !strcmp(kind, "cuda")   ? allocations(w, records, false)
                 : !strcmp(kind, "kernel") ? kernels(w, records)
                 : !strcmp(kind, "range")  ? ranges(w, records)
                                           : mixed(w, records);
    vs_log_writer_close(w, VS_WRITER_EXIT);
    snprintf(db, sizeof db, "%s/bench.db", folder);
    getrusage(RUSAGE_SELF, &u);
    long before = u.ru_maxrss;
    double cpu = cpu_seconds(&u);
    double t0 = now();
    int err = vs_ingest_open(db, VS_INGEST_NEW, &in, &e);
    if (!err) err = vs_ingest_finish(in, folder, 1, &e);
    vs_ingest_close(in);
    double seconds = now() - t0;
    if (err) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    getrusage(RUSAGE_SELF, &u);
    stat(db, &st);
    printf("%-7s %10llu records  %6.2f s (CPU %.2f)  %9.0f records/s (target %.0f)  RSS %4ld MB (%ld before)  database "
           "%6.1f MB\n",
           kind, (unsigned long long)n, seconds, cpu_seconds(&u) - cpu, (double)n / seconds, target, u.ru_maxrss / 1024,
           before / 1024, (double)st.st_size / 1e6);
    fflush(stdout);
    if (!getenv("KEEP")) {
        unlink(db);
        unlink(log);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *kind;
        double target;
    } all[] = {{"torch", 1e6}, {"cuda", 1e6}, {"kernel", 4e5}, {"range", 4e5}, {"mixed", 4e5}};
    uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    int failed = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char folder[] = "/tmp/vramscope-bench-XXXXXX";
        if ((argc > 2 && strcmp(argv[2], all[i].kind)) || !mkdtemp(folder)) continue;
        pid_t child = fork(); /* its own peak memory */
        if (!child) _exit(measure(folder, all[i].kind, records, all[i].target));
        int status = 1;
        waitpid(child, &status, 0);
        failed |= status;
        if (!getenv("KEEP")) {
            char command[64];
            snprintf(command, sizeof command, "%s/host-999999-1000", folder);
            rmdir(command);
            rmdir(folder);
        } else {
            printf("%s\n", folder);
        }
        fflush(stdout);
    }
    return failed ? 1 : 0;
}
