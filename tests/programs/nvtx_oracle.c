/* SPDX-License-Identifier: MIT */
/* link: -ldl -lpthread */
/*
 * nvtx_oracle.c: a program with exactly known NVTX calls, made with NVIDIA's own headers. Includes nothing of the
 * profiler. Exit status 77: built where there are no such headers; 0: NVTX returned what it should.
 *
 * nvtx_oracle ranges      7 ranges: 3 pushed in the default domain, 1 in "oracle", 1 of a wide text, 2 start/end; 3 marks
 * nvtx_oracle strings     registered strings A and W, categories, thread names, a coloured range
 * nvtx_oracle pops        pops too many, pops in another domain, a domain destroyed while its range is open
 * nvtx_oracle deep N      N nested pushes in two domains alternately, all popped
 * nvtx_oracle hostile     names with newline, quotes, invalid UTF-8, 10 KB, NULL, empty, lone surrogates
 * nvtx_oracle threads T N T threads with N push/pop pairs each
 * nvtx_oracle regions     a heap, regions, names, resize, unregister by pointer and by handle
 * nvtx_oracle fork        open ranges, a registered string and a domain, then a child that uses them
 * nvtx_oracle bench N     prints the cost of a push and pop in ns
 */
#if !__has_include(<nvtx3/nvToolsExtMem.h>)
int main(void)
{
    return 77;
}
#else
#include <errno.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>
#include <nvtx3/nvToolsExtPayload.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

static int wrong;
#define CHECK(x)                                                       \
    do {                                                               \
        if (!(x)) {                                                    \
            fprintf(stderr, "line %d: %s\n", __LINE__, #x);            \
            wrong = 1;                                                 \
        }                                                              \
    } while (0)

static nvtxEventAttributes_t attributes(const char *text)
{
    nvtxEventAttributes_t a;
    memset(&a, 0, sizeof a);
    a.version = NVTX_VERSION;
    a.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    a.messageType = NVTX_MESSAGE_TYPE_ASCII;
    a.message.ascii = text;
    return a;
}

static nvtxRangeId_t crossing;
static void *end_crossing(void *arg)
{
    nvtxRangeEnd(crossing);
    return arg;
}

static void ranges(void)
{
    nvtxDomainHandle_t d = nvtxDomainCreateA("oracle");
    nvtxEventAttributes_t a = attributes("in domain");
    nvtxRangeId_t other;
    pthread_t t;

    errno = ERANGE;
    CHECK(nvtxRangePushA("outer") == 0);
    CHECK(nvtxRangePushA("inner") == 1);
    CHECK(nvtxDomainRangePushEx(d, &a) == 0);
    nvtxMarkA("mark in domain range");
    CHECK(nvtxDomainRangePop(d) == 0);
    CHECK(nvtxRangePushW(L"w\u00efde \u4e2d\U0001F600") == 2);
    nvtxMarkW(L"w\u00efde mark");
    CHECK(nvtxRangePop() == 2);
    CHECK(nvtxRangePop() == 1);
    crossing = nvtxRangeStartA("crossing threads");
    CHECK(crossing != 0);
    CHECK(nvtxRangePop() == 0);
    CHECK(nvtxRangePushA("second") == 0);
    other = nvtxDomainRangeStartEx(d, &a);
    CHECK(other != crossing);
    pthread_create(&t, NULL, end_crossing, NULL);
    pthread_join(t, NULL);
    nvtxDomainMarkEx(d, &a);
    nvtxDomainRangeEnd(d, other);
    CHECK(nvtxRangePop() == 0);
    CHECK(errno == ERANGE);
}

static void strings(void)
{
    nvtxDomainHandle_t d = nvtxDomainCreateA("oracle"), same = nvtxDomainCreateW(L"oracle");
    nvtxStringHandle_t s = nvtxDomainRegisterStringA(d, "registered"), again = nvtxDomainRegisterStringA(d, "registered");
    nvtxStringHandle_t w = nvtxDomainRegisterStringW(d, L"registered \u4e2d");
    nvtxEventAttributes_t a = attributes(NULL);
    int i;

    CHECK(d == same);
    CHECK(s == again && s != w);
    nvtxNameCategoryA(7, "seven");
    nvtxDomainNameCategoryA(d, 7, "domain seven");
    nvtxDomainNameCategoryW(d, 8, L"acht");
    nvtxNameOsThreadA((uint32_t)syscall(SYS_gettid), "oracle main");
    a.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    for (i = 0; i < 3; i++) {
        a.message.registered = i < 2 ? s : w;
        a.category = i ? 7 : 8;
        a.colorType = NVTX_COLOR_ARGB;
        a.color = 0xff123456u;
        CHECK(nvtxDomainRangePushEx(d, &a) == 0);
        CHECK(nvtxDomainRangePop(d) == 0);
    }
    a.size = 16; /* a client that knows no more than version, category and colour */
    CHECK(nvtxRangePushEx(&a) == 0);
    CHECK(nvtxRangePop() == 0);
    CHECK(nvtxRangePushPayload(d, NULL, 0) == 0); /* pushed and popped through the payload extension */
    CHECK(nvtxRangePopPayload(d, NULL, 0) == 0);
    a = attributes("popped with a payload");
    CHECK(nvtxDomainRangePushEx(d, &a) == 0);
    CHECK(nvtxRangePopPayload(d, NULL, 0) == 0);
}

static void pops(void)
{
    nvtxDomainHandle_t d = nvtxDomainCreateA("one"), e = nvtxDomainCreateA("two");
    nvtxEventAttributes_t a = attributes("one"), b = attributes("two");

    CHECK(nvtxRangePop() < 0);
    CHECK(nvtxDomainRangePushEx(d, &a) == 0);
    CHECK(nvtxDomainRangePop(e) < 0);
    CHECK(nvtxRangePop() < 0);
    CHECK(nvtxDomainRangePushEx(e, &b) == 0);
    CHECK(nvtxDomainRangePop(d) == 0); /* not the top: "two" stays open */
    nvtxMarkA("inside two");
    CHECK(nvtxDomainRangePop(d) < 0);
    CHECK(nvtxDomainRangePop(e) == 0);
    nvtxMarkA("inside none");
    CHECK(nvtxDomainRangePushEx(d, &a) == 0);
    nvtxDomainDestroy(d);
    CHECK(nvtxDomainRangePop(d) == 0);
    nvtxRangeEnd(0);
    nvtxRangeEnd(0x1234);
}

static void deep(int n)
{
    nvtxDomainHandle_t d[2] = {nvtxDomainCreateA("even"), nvtxDomainCreateA("odd")};
    nvtxEventAttributes_t a = attributes("deep");
    int i;
    for (i = 0; i < n; i++)
        CHECK(nvtxDomainRangePushEx(d[i & 1], &a) == i / 2);
    nvtxMarkA("bottom");
    for (i = n - 1; i >= 0; i--)
        CHECK(nvtxDomainRangePop(d[i & 1]) == i / 2);
    CHECK(nvtxDomainRangePop(d[0]) < 0 && nvtxDomainRangePop(d[1]) < 0);
    nvtxMarkA("top");
    CHECK(nvtxRangePushA("after") == 0);
    CHECK(nvtxRangePop() == 0);
}

static void hostile(void)
{
    static char big[10241], euros[3001];
    static wchar_t wide[5001];
    static const char *const names[] = {"new\nline", "'single' \"double\" `back`", "\xff\xfe invalid \xc3", "{@_^}\\$(x)", ""};
    wchar_t surrogate[] = {'a', (wchar_t)0xd800, (wchar_t)0x110000, 'b', 0};
    size_t i;

    memset(big, 'x', sizeof big - 1);
    for (i = 0; i + 3 < sizeof euros; i += 3)
        memcpy(euros + i, "\xe2\x82\xac", 3);
    for (i = 0; i < 5000; i++)
        wide[i] = 0x4e2d;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        nvtxRangePushA(names[i]);
        nvtxRangePop();
    }
    nvtxRangePushA(NULL);
    nvtxRangePop();
    nvtxRangePushEx(NULL);
    nvtxRangePop();
    nvtxRangePushA(big); /* cut */
    nvtxRangePop();
    nvtxRangePushA(euros); /* cut, at a character */
    nvtxRangePop();
    nvtxRangePushW(wide); /* cut */
    nvtxRangePop();
    nvtxRangePushW(surrogate);
    nvtxRangePop();
    nvtxMarkA(big); /* cut */
    nvtxDomainCreateA(big); /* cut */
    nvtxDomainRegisterStringA(nvtxDomainCreateA("long"), big); /* whole, in several records */
    nvtxNameCategoryA(1, big); /* cut */
}

static long per_thread;
static void *pushes(void *arg)
{
    long i;
    for (i = 0; i < per_thread; i++) {
        if (nvtxRangePushA("threads") != 0 || nvtxRangePop() != 0)
            wrong = 1;
    }
    return arg;
}

static void threads(int count, long n)
{
    pthread_t *t = calloc((size_t)count, sizeof *t);
    int i;
    per_thread = n;
    nvtxInitialize(NULL); /* NVTX reads its own function pointers without order: not our race */
    for (i = 0; i < count; i++)
        pthread_create(&t[i], NULL, pushes, NULL);
    for (i = 0; i < count; i++)
        pthread_join(t[i], NULL);
    free(t);
}

static void regions(void)
{
    static char block[4096];
    nvtxDomainHandle_t d = nvtxDomainCreateA("memory");
    nvtxMemVirtualRangeDesc_t whole = {sizeof block, block}, parts[3] = {{512, block}, {1024, block + 512}, {64, block + 2048}};
    nvtxMemHeapDesc_t heap;
    nvtxMemRegionHandle_t handles[3];
    nvtxMemRegionsRegisterBatch_t reg;
    nvtxMemRegionsResizeBatch_t resize;
    nvtxMemRegionsUnregisterBatch_t unreg;
    nvtxMemRegionsNameBatch_t name;
    nvtxMemRegionNameDesc_t names[2];
    nvtxMemRegionRef_t refs[2];
    nvtxMemHeapHandle_t h;

    memset(&heap, 0, sizeof heap);
    heap.extCompatID = NVTX_EXT_COMPATID_MEM;
    heap.structSize = sizeof heap;
    heap.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    heap.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    heap.typeSpecificDescSize = sizeof whole;
    heap.typeSpecificDesc = &whole;
    heap.messageType = NVTX_MESSAGE_TYPE_ASCII;
    heap.message.ascii = "arena";
    nvtxRangePushA("allocating");
    h = nvtxMemHeapRegister(d, &heap);
    CHECK((void *)h == block);

    reg = (nvtxMemRegionsRegisterBatch_t){NVTX_EXT_COMPATID_MEM, sizeof reg, NVTX_MEM_TYPE_VIRTUAL_ADDRESS, h, 3,
                                          sizeof parts[0], parts, handles};
    nvtxMemRegionsRegister(d, &reg);
    nvtxRangePop();
    CHECK((void *)handles[0] == block && (void *)handles[2] == block + 2048);
    memset(names, 0, sizeof names);
    names[0].regionRefType = NVTX_MEM_REGION_REF_TYPE_HANDLE;
    names[0].nameType = NVTX_MESSAGE_TYPE_ASCII;
    names[0].region.handle = handles[0];
    names[0].name.ascii = "activation/layer 0";
    names[1].regionRefType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    names[1].nameType = NVTX_MESSAGE_TYPE_REGISTERED;
    names[1].region.pointer = block + 512;
    names[1].name.registered = nvtxDomainRegisterStringA(d, "weight");
    name = (nvtxMemRegionsNameBatch_t){NVTX_EXT_COMPATID_MEM, sizeof name, 0, 2, sizeof names[0], names, 0};
    nvtxMemRegionsName(d, &name);
    parts[2].size = 128;
    resize = (nvtxMemRegionsResizeBatch_t){NVTX_EXT_COMPATID_MEM, sizeof resize, NVTX_MEM_TYPE_VIRTUAL_ADDRESS, 1,
                                           sizeof parts[0], &parts[2]};
    nvtxMemRegionsResize(d, &resize);
    refs[0].handle = handles[0];
    unreg = (nvtxMemRegionsUnregisterBatch_t){NVTX_EXT_COMPATID_MEM, sizeof unreg, NVTX_MEM_REGION_REF_TYPE_HANDLE, 1,
                                              sizeof refs[0], refs};
    nvtxMemRegionsUnregister(d, &unreg);
    refs[0].pointer = block + 512;
    refs[1].pointer = block + 2048;
    unreg.refType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    unreg.refCount = 2;
    nvtxMemRegionsUnregister(d, &unreg);
    nvtxMemHeapUnregister(d, h);
    heap.type = 99; /* a kind of memory nobody knows: refused and counted */
    CHECK(nvtxMemHeapRegister(d, &heap) == NVTX_MEM_HEAP_HANDLE_NO_TOOL);
}

static void in_child(nvtxDomainHandle_t d, nvtxStringHandle_t s, nvtxRangeId_t id)
{
    nvtxEventAttributes_t a = attributes(NULL);
    a.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    a.message.registered = s;
    CHECK(nvtxRangePop() < 0); /* the parent's ranges are not the child's */
    nvtxRangeEnd(id);
    CHECK(nvtxDomainRangePushEx(d, &a) == 0);
    CHECK(nvtxDomainRangePop(d) == 0);
}

static void forks(void)
{
    nvtxDomainHandle_t d = nvtxDomainCreateA("inherited domain");
    nvtxStringHandle_t s = nvtxDomainRegisterStringA(d, "inherited string");
    nvtxRangeId_t id = nvtxRangeStartA("open in the parent");
    int raw, status;
    nvtxRangePushA("open across forks");
    for (raw = 0; raw < 2; raw++) {
        pid_t child = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        if (!child) {
            in_child(d, s, id);
            exit(wrong);
        }
        waitpid(child, &status, 0);
        CHECK(status == 0);
    }
    CHECK(nvtxRangePop() == 0);
    nvtxRangeEnd(id);
}

static void bench(long n)
{
    struct timespec a, b;
    double best = 1e9;
    long i;
    int round;
    for (round = 0; round < 10; round++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (i = 0; i < n; i++) {
            nvtxRangePushA("bench");
            nvtxRangePop();
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n;
        best = ns < best ? ns : best;
        usleep(20000);
    }
    printf("%.1f\n", best);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "ranges";
    long n = argc > 2 ? atol(argv[2]) : 1000;
    if (!strcmp(what, "ranges"))
        ranges();
    else if (!strcmp(what, "strings"))
        strings();
    else if (!strcmp(what, "pops"))
        pops();
    else if (!strcmp(what, "deep"))
        deep((int)n);
    else if (!strcmp(what, "hostile"))
        hostile();
    else if (!strcmp(what, "threads"))
        threads((int)n, argc > 3 ? atol(argv[3]) : 1000);
    else if (!strcmp(what, "regions"))
        regions();
    else if (!strcmp(what, "fork"))
        forks();
    else if (!strcmp(what, "bench"))
        bench(n);
    else
        return 4;
    return wrong;
}
#endif
