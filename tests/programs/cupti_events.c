/* SPDX-License-Identifier: MIT
 *
 * cupti_events.c: puts work on the stand-in GPU of tests/fake/cupti.c, and uses CUPTI itself as PyTorch's profiler does.
 * link: -l:libcupti.so.13 -ldl -lpthread
 *
 * cupti_events MODE [COUNT]. Exit status 0: what the program itself can check was right.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../profiler/cupti_abi.h"
#include "../fake/cupti_control.h"

#if defined __has_include
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define HAVE_NVTX 1
#endif
#endif

uint32_t cuptiSubscribe(void **s, vs_cupti_callback_fn fn, void *user);
uint32_t cuptiUnsubscribe(void *s);
uint32_t cuptiEnableCallback(uint32_t on, void *s, uint32_t domain, uint32_t cbid);
uint32_t cuptiActivityRegisterCallbacks(vs_cupti_request_fn request, vs_cupti_complete_fn complete);
uint32_t cuptiActivityRegisterTimestampCallback(vs_cupti_clock_fn fn);
uint32_t cuptiActivityEnable(uint32_t kind);
uint32_t cuptiActivityDisable(uint32_t kind);
uint32_t cuptiActivityFlushAll(uint32_t flag);
uint32_t cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, void **record);
uint32_t cuptiActivitySetAttribute(uint32_t id, size_t *bytes, void *value);
uint32_t cuptiFinalize(void);

static const char *const names[] = {"_Z4axpyfPKfPf", "_Z4gemmPKfS0_Pf", "_Z6reducePKfPf"};
static long count = 1000;
static int failures;

#define EXPECT(condition)                                                                 \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "cupti_events: line %d: %s\n", __LINE__, #condition);          \
            failures++;                                                                   \
        }                                                                                 \
    } while (0)

static void nap(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t))
        ;
}

/* The driver's part: it asks the recorder in, inside cuInit. */
static void init(void)
{
    int (*inject)(void) = dlsym(RTLD_DEFAULT, "InitializeInjection");
    if (inject)
        inject();
}

static void kernels(long n)
{
    long i;
    for (i = 0; i < n; i++)
        fake_cupti_kernel(names[i % 3], 7, 0);
}

static void push(const char *name)
{
#ifdef HAVE_NVTX
    nvtxRangePushA(name);
#else
    (void)name;
#endif
}

static void pop(void)
{
#ifdef HAVE_NVTX
    nvtxRangePop();
#endif
}

static void *thread_main(void *name)
{
    push(name);
    kernels(count);
    pop();
    kernels(1); /* outside of any range */
    return NULL;
}

static void work(void)
{
    pthread_t threads[3];
    char text[3][16];
    int i;
    push("first"); /* NVTX's own initialisation is not for three threads at once under ThreadSanitizer */
    pop();
    for (i = 0; i < 3; i++) {
        snprintf(text[i], sizeof text[i], "range%d", i);
        pthread_create(&threads[i], NULL, thread_main, text[i]);
    }
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    fake_cupti_copy(4096, 0);
    fake_cupti_copy(8192, 0);
    fake_cupti_copy(1 << 20, 1);
    fake_cupti_set(512, 0xab);
    fake_cupti_kernel("graph_node", 9, 77);
    fake_cupti_static("weights", 0x7000, 1000, 0);
    fake_cupti_static(NULL, 0x8000, 1 << 20, 0); /* an ordinary allocation: the driver hooks' business */
    fake_cupti_static("weights", 0x7000, 1000, 1);
    fake_cupti_overhead(5 << 16);
    nap(300);
    EXPECT(fake_cupti_stat(FAKE_CUPTI_DIRTY) == 0);
}

static void losses(void)
{
    fake_cupti_control(FAKE_CUPTI_UNTIMED, 3);
    kernels(5);
    fake_cupti_control(FAKE_CUPTI_INVERTED, 2);
    kernels(5);
    fake_cupti_control(FAKE_CUPTI_UNKNOWN, 4);
    fake_cupti_control(FAKE_CUPTI_DROP, 7);
    kernels(1);
    fake_cupti_control(FAKE_CUPTI_INCOMPLETE, 0);
    cuptiActivityFlushAll(1); /* a buffer ends with the incomplete one */
    kernels(2);
}

/* CUPTI's clock runs away for a while. */
static void clock_lost(void)
{
    kernels(10);
    nap(200);
    fake_cupti_control(FAKE_CUPTI_SKEW_NS, 5000000);
    kernels(10);
    nap(200);
    fake_cupti_control(FAKE_CUPTI_SKEW_NS, 0);
    kernels(10);
    nap(200);
}

/* Six threads with a buffer each, of which there are four. */
static void *holder_main(void *barrier)
{
    kernels(10);
    pthread_barrier_wait(barrier);
    return NULL;
}

static void exhaust(void)
{
    pthread_barrier_t barrier;
    pthread_t threads[6];
    int i;
    pthread_barrier_init(&barrier, NULL, 6);
    fake_cupti_control(FAKE_CUPTI_PENDING, 1);
    for (i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, holder_main, &barrier);
    for (i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    fake_cupti_control(FAKE_CUPTI_PENDING, 0);
}

/* ---- a profiler of the program's own: the calls PyTorch's makes, in its order ---- */

static long got, strangers;
static uint8_t *given[4096];
static int ngiven;
static uint64_t first_start;

static void request(uint8_t **buffer, size_t *size, size_t *max)
{
    int n = __atomic_fetch_add(&ngiven, 1, __ATOMIC_RELAXED);
    *size = 64 << 10;
    *max = 0;
    given[n] = *buffer = malloc(*size);
    memset(*buffer, 0x55, *size); /* nobody promised zeroes */
}

static void complete(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    void *record = NULL;
    int i;
    (void)context, (void)stream, (void)size;
    for (i = 0; i < ngiven && given[i] != buffer; i++)
        ;
    if (i == ngiven) {
        strangers++;
        return;
    }
    while (!cuptiActivityGetNextRecord(buffer, valid, &record)) {
        if (!first_start)
            first_start = ((struct vs_cupti_kernel *)record)->start;
        got += *(uint32_t *)record == VS_CUPTI_CONCURRENT_KERNEL;
    }
    free(buffer);
}

static uint64_t own_clock(void)
{
    return 4200000000000000000ull;
}

static long heard;
static void callback(void *user, uint32_t domain, uint32_t cbid, const void *data)
{
    (void)data;
    heard += user == &heard && domain == 3 && cbid == 2 ? 1 : 1000000;
}

static void begin_session(bool clock)
{
    if (clock)
        EXPECT(!cuptiActivityRegisterTimestampCallback(own_clock));
    EXPECT(!cuptiActivityRegisterCallbacks(request, complete));
    EXPECT(!cuptiActivityEnable(VS_CUPTI_CONCURRENT_KERNEL));
    EXPECT(!cuptiActivityEnable(VS_CUPTI_RUNTIME));
    /* CUPTI is as it would be without a recorder */
    EXPECT(fake_cupti_stat(FAKE_CUPTI_KINDS) == (1u << VS_CUPTI_CONCURRENT_KERNEL | 1u << VS_CUPTI_RUNTIME));
    EXPECT(fake_cupti_stat(FAKE_CUPTI_POOL_LIMIT) == 250);
    EXPECT(fake_cupti_stat(FAKE_CUPTI_ZEROED) == 0);
    EXPECT(fake_cupti_stat(FAKE_CUPTI_THREAD_IDS) == 0);
    got = 0;
    first_start = 0;
}

static void end_session(long expected)
{
    size_t bytes = 1;
    uint8_t off = 0;
    EXPECT(!cuptiActivityDisable(VS_CUPTI_CONCURRENT_KERNEL));
    EXPECT(!cuptiActivityDisable(VS_CUPTI_RUNTIME));
    EXPECT(!cuptiActivityFlushAll(1));
    EXPECT(got == expected);
    EXPECT(strangers == 0);
    EXPECT(!cuptiActivitySetAttribute(9, &bytes, &off));
}

static void wait_for_recorder(void)
{
    int i;
    for (i = 0; i < 300 && !(fake_cupti_stat(FAKE_CUPTI_KINDS) >> VS_CUPTI_CONCURRENT_KERNEL & 1); i++)
        nap(10);
    EXPECT(i < 300 || !getenv("LD_PRELOAD"));
}

/* Twice inside a run. The subscription is never given back, as PyTorch's profiler does; with `leave`, it is. */
static void foreign(bool leave)
{
    void *s = NULL, *again = NULL;
    kernels(100);
    EXPECT(!cuptiSubscribe(&s, callback, &heard));
    EXPECT(cuptiSubscribe(&again, callback, &heard) == VS_CUPTI_MULTIPLE_SUBSCRIBERS);
    EXPECT(!cuptiEnableCallback(1, s, 3, 2));
    begin_session(false);
    kernels(30);
    end_session(30);
    /* the default clock of CUPTI, not the recorder's */
    EXPECT(first_start / 1000000000 - (uint64_t)time(NULL) + 60 < 120);
    if (leave)
        EXPECT(!cuptiUnsubscribe(s));
    wait_for_recorder();
    kernels(200);
    nap(150);
    begin_session(true);
    kernels(40);
    end_session(40);
    EXPECT(first_start == 4200000000000000000ull);
    wait_for_recorder();
    kernels(300);
    EXPECT(heard == 0);
}

static void finalized(bool seen)
{
    kernels(50);
    nap(150);
    if (seen)
        EXPECT(!cuptiFinalize());
    else
        fake_cupti_control(FAKE_CUPTI_FINALIZE, 0);
    nap(20);
    wait_for_recorder();
    kernels(60);
}

/* Somebody puts its callbacks in the place of ours, unseen; work goes on. */
static void replaced(void)
{
    int i;
    kernels(50);
    nap(150);
    fake_cupti_control(FAKE_CUPTI_REPLACE, 0);
    for (i = 0; i < 50; i++) {
        kernels(1);
        nap(100);
    }
}

/* A profiler that looks CUPTI up itself. */
static void by_dlsym(void)
{
    void *lib = dlopen("libcupti.so.13", RTLD_NOW), *s = NULL;
    uint32_t (*subscribe)(void **, vs_cupti_callback_fn, void *) = dlsym(lib, "cuptiSubscribe");
    uint32_t (*unsubscribe)(void *) = dlsym(lib, "cuptiUnsubscribe");
    kernels(10);
    EXPECT(!subscribe(&s, callback, &heard));
    EXPECT(!unsubscribe(s));
    wait_for_recorder();
    kernels(20);
}

static void killed(void)
{
    kernels(count);
    nap(600);
    kernels(10);
    kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "work";
    if (argc > 2)
        count = atol(argv[2]);
    if (strcmp(mode, "no-init"))
        init();
    if (!strcmp(mode, "work"))
        work();
    else if (!strcmp(mode, "losses"))
        losses();
    else if (!strcmp(mode, "clock"))
        clock_lost();
    else if (!strcmp(mode, "exhaust"))
        exhaust();
    else if (!strcmp(mode, "foreign") || !strcmp(mode, "foreign-leaves"))
        foreign(mode[7] != 0);
    else if (!strcmp(mode, "finalize") || !strcmp(mode, "finalize-unseen"))
        finalized(mode[8] == 0);
    else if (!strcmp(mode, "replaced"))
        replaced();
    else if (!strcmp(mode, "dlsym"))
        by_dlsym();
    else if (!strcmp(mode, "kill"))
        killed();
    else if (!strcmp(mode, "hang")) {
        kernels(count);
        fake_cupti_control(FAKE_CUPTI_HANG_FLUSH, 1);
    } else {
        kernels(count);
    }
    printf("done\n");
    return failures != 0;
}
