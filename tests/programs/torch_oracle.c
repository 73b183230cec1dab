/* SPDX-License-Identifier: MIT */
/* link: -ldl -lpthread */
/*
 * torch_oracle.c: a program with exactly known PyTorch allocator events, through stand-ins for libc10 opened as PyTorch
 * opens them (RTLD_LOCAL). Includes nothing of the profiler. Exit status 0: every event also reached libc10 unchanged.
 *
 * torch_oracle events     23 allocations and 17 frees on device 0, 5 and 5 on device 1, older ABI forms, 3 out-of-memory,
 *                         3 events of CPU memory
 * torch_oracle cpu        only events of CPU memory
 * torch_oracle fork       2 allocations, then 3 in a forked child
 * torch_oracle threads T N   T threads, N allocations and frees each
 * torch_oracle bench N    prints the cost of one event in ns
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *(*report)(void *, int64_t, int, int, int);
static void (*oom)(int64_t, int, int);
static uint64_t (*c10_calls)(int);

static int load(void)
{
    void *c10 = dlopen("libc10.so", RTLD_NOW | RTLD_LOCAL), *cuda = dlopen("libc10_cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!c10 || !cuda) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&report = dlsym(cuda, "fake_torch_report");
    *(void **)&oom = dlsym(cuda, "fake_torch_oom");
    *(void **)&c10_calls = dlsym(c10, "fake_c10_calls");
    return !report || !oom || !c10_calls;
}

static int events(void)
{
    void *p[23], *q[5];
    int i;
    for (i = 0; i < 23; i++)
        p[i] = report(NULL, 512 * (i + 1), 1, 0, 0);
    for (i = 0; i < 17; i++)
        report(p[i], -512 * (i + 1), 1, 0, 0);
    for (i = 0; i < 5; i++)
        q[i] = report(NULL, 4096, 1, 1, 0);
    for (i = 0; i < 5; i++)
        report(q[i], -4096, 1, 1, 0);
    report(NULL, 1024, 1, 2, 1);
    report(NULL, 2048, 1, 2, 2);
    for (i = 0; i < 3; i++) {
        errno = ERANGE;
        report(NULL, 64, 0, -1, i);
        if (errno != ERANGE)
            return 2;
        oom((int64_t)1 << (30 + i), 0, i);
        if (errno != ERANGE)
            return 2;
    }
    return c10_calls(0) != 51 || c10_calls(1) != 2 || c10_calls(2) != 2 || c10_calls(3) != 1 || c10_calls(4) != 1 ||
           c10_calls(5) != 1;
}

static int forked(void)
{
    int i, status;
    pid_t child;
    for (i = 0; i < 2; i++)
        report(NULL, 512, 1, 0, 0);
    child = fork();
    if (!child) {
        for (i = 0; i < 3; i++)
            report(NULL, 1024, 1, 0, 0);
        exit(c10_calls(0) != 5);
    }
    waitpid(child, &status, 0);
    return status != 0;
}

static long per_thread;
static void *thread(void *arg)
{
    long i;
    for (i = 0; i < per_thread; i++) {
        void *p = report(NULL, 512, 1, 0, 0);
        report(p, -512, 1, 0, 0);
    }
    return arg;
}

static int threads(int count, long n)
{
    pthread_t *t = calloc((size_t)count, sizeof *t);
    int i;
    per_thread = n;
    for (i = 0; i < count; i++)
        pthread_create(&t[i], NULL, thread, NULL);
    for (i = 0; i < count; i++)
        pthread_join(t[i], NULL);
    free(t);
    return c10_calls(0) != (uint64_t)count * (uint64_t)n * 2;
}

static int bench(long n)
{
    struct timespec a, b;
    double best = 1e9;
    long i;
    int round;
    for (round = 0; round < 10; round++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (i = 0; i < n; i++) {
            void *p = report(NULL, 512, 1, 0, 0);
            report(p, -512, 1, 0, 0);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (2.0 * (double)n);
        best = ns < best ? ns : best;
        usleep(20000);
    }
    printf("%.1f\n", best);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "events";
    if (load())
        return 3;
    if (!strcmp(what, "events"))
        return events();
    if (!strcmp(what, "fork"))
        return forked();
    if (!strcmp(what, "threads") && argc == 4)
        return threads(atoi(argv[2]), atol(argv[3]));
    if (!strcmp(what, "bench"))
        return bench(argc > 2 ? atol(argv[2]) : 5000);
    if (!strcmp(what, "cpu")) {
        report(NULL, 64, 0, -1, 0);
        return c10_calls(0) != 1;
    }
    return 4;
}
