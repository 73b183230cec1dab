/* SPDX-License-Identifier: MIT
 *
 * test_comm_gpu.c: collectives by NCCL (kernels/comm.h) on 1, 2 and 4 GPUs, as many as there are, one process each: results, several
 * parts, and aborts while a communicator is made and while the GPU waits for a rank that does not come.
 * NCCL's id goes from rank 0 to the others through a communicator over shared memory.
 */
#include <check.h>
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm_case.h"
#include "kernels/device.h"

Suite *make_comm_gpu_suite(void);

enum { ELEMENTS = 100003 }; /* of a rank */

static const struct vs_device *device;
static const struct vs_comm *nccl;

/* GPUs of this machine that the test may see. */
static int gpus(void)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    glob_t found;
    int count = glob("/dev/nvidia[0-9]*", 0, NULL, &found) ? 0 : (int)found.gl_pathc, listed = 1;
    globfree(&found);
    for (const char *c = visible; c && *c; c++) listed += *c == ',';
    return visible && listed < count ? listed : count;
}

#define GPU_MUST(condition, what) MUST(condition, "%s: %s: %s", what, nccl->last_error(), device->last_error())

static void *on_gpu(const void *from, size_t bytes, int rank, int world)
{
    void *at;
    GPU_MUST(!device->alloc(bytes, &at) && !(from ? device->upload(at, from, bytes) : device->clear(at, bytes)), "memory");
    return at;
}

static void *new_comm(void *host, int rank, int world)
{
    struct vs_comm_id ids[4], mine = {{0}};
    void *comm;
    if (rank == 0) GPU_MUST(!nccl->make_id(&mine), "make_id");
    struct vs_comm_part part = {&mine, ids, sizeof mine / 4, VS_COMM_fp32};
    MUST(!vs_comm_shared_memory.all_gather(host, &part, 1, NULL), "sharing the id");
    GPU_MUST(!nccl->open(&ids[0], rank, world, "test", &comm), "open");
    return comm;
}

/* Small whole numbers: every order of the sums gives the same. */
static void gather(void *comm, int rank, int world)
{
    static float mine[ELEMENTS], all[4 * ELEMENTS];
    uint16_t halves[3] = {(uint16_t)rank, 2, 3}, all_halves[12];
    for (int i = 0; i < ELEMENTS; i++) mine[i] = (float)(rank * 1000 + i % 1000);
    char *recv = on_gpu(NULL, (size_t)world * sizeof mine, rank, world);
    void *in_place = recv + (size_t)rank * sizeof mine, *send = on_gpu(halves, sizeof halves, rank, world);
    void *more = on_gpu(NULL, sizeof all_halves, rank, world);
    GPU_MUST(!device->upload(in_place, mine, sizeof mine), "upload");
    struct vs_comm_part parts[3] = {{in_place, recv, ELEMENTS, VS_COMM_fp32}, {NULL, NULL, 0, VS_COMM_fp64}, {send, more, 3, VS_COMM_bf16}};
    GPU_MUST(!nccl->all_gather(comm, parts, 3, NULL) && !device->wait(NULL), "all_gather");
    GPU_MUST(!device->download(all, recv, (size_t)world * sizeof mine), "download");
    GPU_MUST(!device->download(all_halves, more, (size_t)world * sizeof halves), "download");
    for (int i = 0; i < world * ELEMENTS; i++)
        MUST(all[i] == (float)(i / ELEMENTS * 1000 + i % ELEMENTS % 1000), "all_gather: element %d is %g", i, all[i]);
    for (int r = 0; r < world; r++) MUST(all_halves[3 * r] == r && all_halves[3 * r + 2] == 3, "all_gather: second part");
}

static void scatter(void *comm, int rank, int world)
{
    static float terms[4 * ELEMENTS], sum[ELEMENTS];
    double wide[4] = {1, 2, 3, 4}, one;
    for (int i = 0; i < world * ELEMENTS; i++) terms[i] = (float)(i % 100);
    void *send = on_gpu(terms, (size_t)world * sizeof sum, rank, world), *recv = on_gpu(NULL, sizeof sum, rank, world);
    void *send64 = on_gpu(wide, sizeof wide, rank, world);
    void *recv64 = on_gpu(NULL, sizeof one, rank, world);
    struct vs_comm_part part = {send, recv, ELEMENTS, VS_COMM_fp32}, part64 = {send64, recv64, 1, VS_COMM_fp64};
    GPU_MUST(!nccl->reduce_scatter(comm, &part, 1, NULL), "reduce_scatter");
    GPU_MUST(!nccl->reduce_scatter(comm, &part64, 1, NULL) && !device->wait(NULL), "reduce_scatter");
    GPU_MUST(!device->download(sum, recv, sizeof sum) && !device->download(&one, recv64, sizeof one), "download");
    for (int i = 0; i < ELEMENTS; i++)
        MUST(sum[i] == (float)world * (float)((rank * ELEMENTS + i) % 100), "reduce_scatter: element %d is %g", i, sum[i]);
    MUST(one == wide[rank] * world, "reduce_scatter: %g", one);
}

static void exchange(void *comm, int rank, int world)
{
    static float terms[4 * ELEMENTS], got[4 * ELEMENTS];
    for (int i = 0; i < world * ELEMENTS; i++) terms[i] = (float)(rank * 100 + i / ELEMENTS * 10 + i % ELEMENTS % 10);
    size_t bytes = (size_t)world * ELEMENTS * sizeof *terms;
    struct vs_comm_part part = {on_gpu(terms, bytes, rank, world), on_gpu(NULL, bytes, rank, world), ELEMENTS, VS_COMM_fp32};
    GPU_MUST(!nccl->all_to_all(comm, &part, 1, NULL) && !device->wait(NULL), "all_to_all");
    GPU_MUST(!device->download(got, part.recv, bytes), "download");
    for (int i = 0; i < world * ELEMENTS; i++)
        MUST(got[i] == (float)(i / ELEMENTS * 100 + rank * 10 + i % ELEMENTS % 10), "all_to_all: element %d is %g", i, got[i]);
}

static void reduce(void *comm, int rank, int world)
{
    static const uint16_t ones[5] = {0, 0x3c00, 0x4000, 0x4200, 0x4400}; /* 0 .. 4 */
    uint16_t halves[7];
    for (int i = 0; i < 7; i++) halves[i] = ones[1];
    void *at = on_gpu(halves, sizeof halves, rank, world);
    GPU_MUST(!nccl->all_reduce(comm, at, at, 7, VS_COMM_fp16, NULL) && !device->wait(NULL), "all_reduce");
    GPU_MUST(!device->download(halves, at, sizeof halves), "download");
    for (int i = 0; i < 7; i++) MUST(halves[i] == ones[world], "all_reduce: %x", halves[i]);
    GPU_MUST(!nccl->check(comm), "check");
}

static void *abort_later(void *comm)
{
    struct timespec t = {.tv_nsec = 300000000};
    while (!__atomic_load_n((void **)comm, __ATOMIC_ACQUIRE)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    nanosleep(&t, NULL);
    nccl->abort(*(void **)comm);
    return NULL;
}

/* Rank 0 waits on the GPU for the others, who do not come; then in open. */
static void aborted(void *comm, int rank, int world)
{
    pthread_t thread;
    struct vs_comm_id id;
    void *at = on_gpu(NULL, 4, rank, world), *lonely = NULL;
    MUST(!pthread_create(&thread, NULL, abort_later, &comm), "thread");
    int queued = nccl->all_reduce(comm, at, at, 1, VS_COMM_fp32, NULL); /* making the connections may already wait */
    device->wait(NULL);
    pthread_join(thread, NULL);
    MUST(queued == 0 || queued == -ECANCELED, "all_reduce: %d", queued);
    MUST(nccl->check(comm) == -ECANCELED && nccl->all_reduce(comm, at, at, 1, VS_COMM_fp32, NULL) == -ECANCELED, "after it");
    MUST(!pthread_create(&thread, NULL, abort_later, &lonely), "thread");
    GPU_MUST(!nccl->make_id(&id), "make_id");
    int err = nccl->open(&id, 0, 2, "lonely", &lonely);
    MUST(err == -ECANCELED, "open: %d", err);
    pthread_join(thread, NULL);
    nccl->close(lonely);
}

static void on_nccl(const struct vs_comm_id *id, int rank, int world)
{
    char why[256];
    void *host = comm_opened(id, rank, world);
    device = vs_device_cuda(why, sizeof why);
    MUST(device, "%s", why);
    nccl = device->comm;
    GPU_MUST(!device->use(rank), "use");
    void *comm = new_comm(host, rank, world);
    gather(comm, rank, world);
    scatter(comm, rank, world);
    exchange(comm, rank, world);
    reduce(comm, rank, world);
    nccl->close(comm);
    comm = new_comm(host, rank, world);
    if (rank == 0 && world > 1) aborted(comm, rank, world);
    MUST(!vs_comm_shared_memory.all_gather(host, NULL, 0, NULL), "the end"); /* the others stay until then, and do nothing */
    if (rank) nccl->abort(comm);
    nccl->close(comm);
    vs_comm_shared_memory.close(host);
}

START_TEST(test_nccl)
{
    int world = 1 << _i;
    if (world > gpus()) {
        fprintf(stderr, "comm_gpu: %d ranks skipped, as many GPUs are not here\n", world);
        return;
    }
    comm_run(on_nccl, world);
}
END_TEST

Suite *make_comm_gpu_suite(void)
{
    Suite *s = suite_create("comm_gpu");
    TCase *t = tcase_create("comm_gpu");
    tcase_set_tags(t, "gpu");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_nccl, 0, 3);
    suite_add_tcase(s, t);
    return s;
}
