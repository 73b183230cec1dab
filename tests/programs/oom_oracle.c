/* SPDX-License-Identifier: MIT */
/* link: -l:libcudart.so.13 -ldl -lpthread */
/*
 * oom_oracle.c: programs that run out of memory, over the stand-ins. It says on stdout what it did and nothing else.
 *
 * oom_oracle die        cudaMalloc of 64 MiB until it fails; exit status 3
 * oom_oracle survive    the same, then frees half, allocates 20 MiB and ends with status 0
 * oom_oracle search     PyTorch fails, retries smaller until it fits, trains on, ends with status 0
 * oom_oracle torch      three iterations of a training, out of memory in the fourth's forward, frees, status 1
 * oom_oracle kill       one iteration and a half, then SIGKILL from itself
 * oom_oracle host MIB   takes 64 MiB of the device, then touches host memory, 1 MiB at a time, up to MIB; status 4 if all is there
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/fake/cudart_api.h"

#define MIB ((int64_t)1 << 20)
enum { LAYERS = 4, PARAMETER = 8, ACTIVATION = 16 }; /* MiB each */

static void *(*report)(void *, int64_t, int, int, int);
static void (*oom)(int64_t, int, int);
static void *parameters[LAYERS], *gradients[LAYERS], *states[2 * LAYERS], *activations[LAYERS];

static int load(void)
{
    void *c10 = dlopen("libc10.so", RTLD_NOW | RTLD_LOCAL), *cuda = dlopen("libc10_cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!c10 || !cuda)
        return 1;
    *(void **)&report = dlsym(cuda, "fake_torch_report");
    *(void **)&oom = dlsym(cuda, "fake_torch_oom");
    return !report || !oom;
}

static void *take(int64_t mib)
{
    return report(NULL, mib * MIB, 1, 0, 0);
}

static void give(void *p, int64_t mib)
{
    report(p, -mib * MIB, 1, 0, 0);
}

static void moment(void)
{
    nanosleep(&(struct timespec){0, 2000000}, NULL);
}

/* ---- a training ---- */

static void forward(void)
{
    int i;
    for (i = 0; i < LAYERS; i++)
        activations[i] = take(ACTIVATION);
    moment();
}

static void *backward_thread(void *arg)
{
    int i;
    prctl(PR_SET_NAME, "pt_autograd_0", 0, 0, 0);
    for (i = LAYERS; i-- > 0;) {
        gradients[i] = take(PARAMETER);
        give(activations[i], ACTIVATION);
    }
    moment();
    return arg;
}

static void backward(void)
{
    static pthread_t thread;
    pthread_create(&thread, NULL, backward_thread, NULL);
    pthread_join(thread, NULL);
}

static void step(int first)
{
    int i;
    for (i = 0; first && i < 2 * LAYERS; i++)
        states[i] = take(PARAMETER);
    moment();
    for (i = 0; i < LAYERS; i++)
        give(gradients[i], PARAMETER);
}

static void train(int iterations)
{
    int i;
    for (i = 0; i < LAYERS; i++)
        parameters[i] = take(PARAMETER);
    for (i = 0; i < iterations; i++) {
        forward();
        backward();
        step(i == 0);
    }
}

static int torch(void)
{
    int i;
    train(3);
    for (i = 0; i < 2; i++)
        activations[i] = take(ACTIVATION);
    oom(ACTIVATION * MIB, 0, 0);
    for (i = 0; i < 2; i++)
        give(activations[i], ACTIVATION);
    return 1;
}

static int search(void)
{
    int i;
    for (i = 0; i < 3; i++)
        oom((1024 >> i) * MIB, 0, 0);
    train(6);
    return 0;
}

static int die_killed(void)
{
    train(1);
    forward();
    kill(getpid(), SIGKILL);
    return 9;
}

/* ---- without a framework ---- */

static int fill(void **blocks, int most)
{
    int n = 0;
    while (n < most && !cudaMalloc(&blocks[n], 64 * MIB))
        n++;
    printf("blocks %d\n", n);
    fflush(stdout);
    return n;
}

static int survive(void)
{
    void *blocks[64];
    int n = fill(blocks, 64), i;
    for (i = 0; i < n; i += 2)
        cudaFree(blocks[i]);
    return cudaMalloc(&blocks[0], 20 * MIB) != 0;
}

static int host(long mib)
{
    void *device;
    long i;
    if (cudaMalloc(&device, 64 * MIB))
        return 5;
    for (i = 0; i < mib; i++) {
        char *p = malloc(MIB);
        if (!p)
            return 6;
        memset(p, (int)i, MIB);
        if (i % 8 == 0)
            moment();
    }
    return 4;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    void *blocks[64];
    if (!strcmp(what, "die"))
        return fill(blocks, 64) < 64 ? 3 : 7;
    if (!strcmp(what, "survive"))
        return survive();
    if (!strcmp(what, "host") && argc == 3)
        return host(atol(argv[2]));
    if (load())
        return 8;
    if (!strcmp(what, "torch"))
        _exit(torch()); /* as Python's os._exit */
    return !strcmp(what, "search") ? search() : !strcmp(what, "kill") ? die_killed() : 9;
}
