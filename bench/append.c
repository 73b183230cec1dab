/* SPDX-License-Identifier: MIT
 *
 * append.c: what one event costs the traced program, and the longest it ever takes, with no GPU.
 *
 * It starts itself again under the recorder and calls what PyTorch and NVTX call. Mean costs are the median of batches,
 * with a rest between them (a program that does nothing else than raise events does not exist). The longest append is
 * looked for while another process writes and fsyncs in a loop on the log's disk: with one thread, with 200, and with
 * 100000 short-lived ones. On a machine with fewer cores than threads the kernel takes the processor away in the middle
 * of an append now and then: such appends are recognised by the thread's count of involuntary switches and counted
 * apart; an append that *sleeps* (voluntary switch) is a fault of ours, and there must be none.
 *
 * Its log goes to a folder below the build folder, which is deleted before each run.
 *
 * Usage: append [quick]. Prints a table; exits 1 when a bound is missed, unless `quick`.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <nvtx3/nvToolsExt.h>

struct c10_device {
    int8_t type, index;
};
typedef void (*report_fn)(void *, int64_t, size_t, size_t, struct c10_device);
static report_fn report;
static const struct c10_device cuda0 = {1, 0};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- mean cost ---- */

enum { BATCH = 2000, BATCHES = 301 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void one_torch(int i)
{
    report((void *)(uintptr_t)(0x10000000 + (i / 2) * 512), i & 1 ? -512 : 512, (size_t)i, (size_t)i, cuda0);
}

static double median_ns(void (*one)(int))
{
    static double each[BATCHES];
    const struct timespec rest = {0, 1000000};
    int b, i;
    for (b = 0; b < BATCHES; b++) {
        uint64_t t0 = now();
        for (i = 0; i < BATCH; i++)
            one(i);
        each[b] = (double)(now() - t0) / BATCH;
        nanosleep(&rest, NULL);
    }
    qsort(each, BATCHES, sizeof *each, ascending);
    return each[BATCHES / 2];
}

static void one_range(int i)
{
    if (i & 1)
        nvtxRangePop();
    else
        nvtxRangePushA("forward/layer.12");
}

/* ---- the longest append ---- */

struct worst {
    uint64_t ran, preempted; /* ns: longest append that ran through; longest that lost the processor */
    uint64_t appends, preemptions, sleeps;
};
static struct worst total;
static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;

static void timed(struct worst *w, int i)
{
    struct rusage before, after;
    uint64_t t0, ns;
    getrusage(RUSAGE_THREAD, &before);
    t0 = now();
    one_torch(i);
    ns = now() - t0;
    w->appends++;
    if (ns < 20000 && ns <= w->ran)
        return;
    getrusage(RUSAGE_THREAD, &after);
    if (after.ru_nvcsw != before.ru_nvcsw)
        w->sleeps++;
    if (after.ru_nivcsw != before.ru_nivcsw) {
        w->preemptions++;
        if (ns > w->preempted)
            w->preempted = ns;
    } else if (ns > w->ran) {
        w->ran = ns;
    }
}

static void add(const struct worst *w)
{
    pthread_mutex_lock(&total_lock);
    total.appends += w->appends;
    total.preemptions += w->preemptions;
    total.sleeps += w->sleeps;
    if (w->ran > total.ran)
        total.ran = w->ran;
    if (w->preempted > total.preempted)
        total.preempted = w->preempted;
    pthread_mutex_unlock(&total_lock);
}

static void *many(void *arg)
{
    struct worst w = {0};
    const struct timespec rest = {0, 2000000};
    int i, n = *(int *)arg;
    one_torch(0); /* a thread's first event takes a slab; the short-lived threads time that */
    for (i = 0; i < n; i++) {
        timed(&w, i);
        if (i % 500 == 499)
            nanosleep(&rest, NULL);
    }
    add(&w);
    return NULL;
}

static void *few(void *arg)
{
    struct worst w = {0};
    (void)arg;
    timed(&w, 0);
    timed(&w, 1);
    add(&w);
    return NULL;
}

static struct worst threads(int count, int at_once, void *(*body)(void *), int events)
{
    static pthread_t id[256];
    int started = 0, i;
    memset(&total, 0, sizeof total);
    while (started < count) {
        int n = count - started < at_once ? count - started : at_once;
        for (i = 0; i < n; i++)
            if (pthread_create(&id[i], NULL, body, &events)) {
                perror("pthread_create");
                exit(2);
            }
        for (i = 0; i < n; i++)
            pthread_join(id[i], NULL);
        started += n;
    }
    return total;
}

static pid_t start_fsync_loop(const char *folder)
{
    static char block[1 << 20];
    char path[PATH_MAX];
    pid_t child = fork();
    int fd, i;
    if (child)
        return child;
    snprintf(path, sizeof path, "%s/fsync-load", folder);
    fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    unlink(path);
    for (;;) {
        for (i = 0; i < 32; i++)
            if (pwrite(fd, block, sizeof block, (off_t)i * (off_t)sizeof block) < 0)
                _exit(0);
        fsync(fd);
    }
}

static int missed;

static void show(const char *what, double value, double bound, const char *unit)
{
    printf("%-52s %9.1f %-3s  bound %7.0f  %s\n", what, value, unit, bound, value <= bound ? "ok" : "MISSED");
    missed += value > bound;
}

static void show_worst(const char *what, struct worst w)
{
    show(what, (double)w.ran / 1000, 1000, "us");
    printf("    of %llu appends; %llu lost the processor meanwhile (longest %.1f us, not ours); slept: %llu\n",
           (unsigned long long)w.appends, (unsigned long long)w.preemptions, (double)w.preempted / 1000,
           (unsigned long long)w.sleeps);
    missed += w.sleeps > 0;
}

static int measure(int quick)
{
    pid_t load;
    int events = quick ? 2000 : 200000;

    report = __extension__(report_fn) dlsym(RTLD_DEFAULT, "_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE");
    if (!report) {
        fprintf(stderr, "append: the recorder is not preloaded\n");
        return 2;
    }
    one_torch(0);
    one_range(0);
    one_range(1);
    sleep(1);
    show("allocator event, median", median_ns(one_torch), 60, "ns");
    show("NVTX range begin or end, median", median_ns(one_range), 60, "ns");
    load = start_fsync_loop(getenv("VRAMSCOPE_OUT"));
    show_worst("longest append, 1 thread, fsync loop beside it", threads(1, 1, many, events));
    show_worst("longest append, 200 threads", threads(200, 200, many, events / 100));
    show_worst("longest append, 100000 short-lived threads", threads(quick ? 1000 : 100000, 16, few, 0));
    kill(load, SIGKILL);
    waitpid(load, NULL, 0);
    return missed && !quick;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    const char *folder = VS_BUILD_DIR "/bench/append-log";
    int quick = argc > 1 && !strcmp(argv[1], "quick");
    char self[PATH_MAX];
    ssize_t n;

    if (getenv("VS_BENCH_CHILD"))
        return measure(quick);
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return 2;
    self[n] = 0;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(folder, 0700)) {
        perror(folder);
        return 2;
    }
    setenv("VS_BENCH_CHILD", "1", 1);
    setenv("LD_PRELOAD", getenv("VRAMSCOPE_LIB") ? getenv("VRAMSCOPE_LIB") : VS_BUILD_DIR "/lib/libvramscope.so", 1);
    setenv("VRAMSCOPE_OUT", folder, 1);
    setenv("VRAMSCOPE_LOG", "warn", 1);
    execl(self, self, quick ? "quick" : NULL, (char *)NULL);
    perror("execl");
    return 2;
}
