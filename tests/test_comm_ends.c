/* SPDX-License-Identifier: MIT
 *
 * test_comm_ends.c: how collectives over shared memory end when not all goes well: aborts from threads and from other ranks, ranks that
 * do other things than their peers or leave, places that do not fit, and nothing left behind by ranks that were killed.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "comm_case.h"

Suite *make_comm_ends_suite(void);

static const struct vs_comm *const via = &vs_comm_shared_memory;

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void *abort_later(void *comm)
{
    while (!__atomic_load_n((void **)comm, __ATOMIC_ACQUIRE)) pause_ms(1);
    pause_ms(100);
    via->abort(*(void **)comm);
    return NULL;
}

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Rank 0 waits and is ended by a thread of its own; rank 2 waits and is ended by that; rank 1 comes when all is over. */
static void aborted(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    double x = 1, begin = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    pthread_t thread;
    if (rank == 1) pause_ms(300);
    if (rank == 0) MUST(!pthread_create(&thread, NULL, abort_later, &c), "thread");
    int err = via->all_reduce(c, &x, &x, 1, VS_COMM_fp64, NULL);
    MUST(err == -ECANCELED, "all_reduce: %d", err);
    MUST(strstr(via->last_error(), rank ? "stopped by rank 0" : "test: stopped"), "text");
    MUST(now_s(CLOCK_MONOTONIC) - begin < 20, "it took %g s", now_s(CLOCK_MONOTONIC) - begin);
    MUST(now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu < 0.08, "waiting took %g s of a core", now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    if (rank == 0) pthread_join(thread, NULL);
    MUST(via->check(c) == -ECANCELED, "check");
    MUST(via->all_reduce(c, &x, &x, 1, VS_COMM_fp64, NULL) == -ECANCELED, "again");
    via->close(c);
    via->abort(c); /* by a thread that has not heard of the end */
    via->abort(NULL);
    via->close(NULL);
}

START_TEST(test_abort)
{
    comm_run(aborted, 3);
}
END_TEST

/* How many files in /dev/shm have the communicator's name. */
static int left(const struct vs_comm_id *id)
{
    DIR *d = opendir("/dev/shm");
    char hex[33];
    int found = 0;
    ck_assert_ptr_nonnull(d);
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", id->bytes[i]);
    for (const struct dirent *e; (e = readdir(d));) found += strstr(e->d_name, hex) != NULL;
    closedir(d);
    return found;
}

/* A rank that is alone waits in open, where another thread can end it. */
static void alone(const struct vs_comm_id *id, int rank, int world)
{
    void *c = NULL;
    pthread_t thread;
    MUST(!pthread_create(&thread, NULL, abort_later, &c), "thread");
    int err = via->open(id, rank, world + 1, "test", &c);
    MUST(err == -ECANCELED, "open: %d", err);
    pthread_join(thread, NULL);
    via->close(c);
    MUST(!left(id), "the name is still there");
}

START_TEST(test_abort_while_opening)
{
    comm_run(alone, 1);
}
END_TEST

static void stay(const struct vs_comm_id *id, int rank, int world)
{
    comm_opened(id, rank, world);
    for (;;) pause();
}

START_TEST(test_killed_ranks_leave_nothing)
{
    struct vs_comm_id id;
    pid_t child[3];
    ck_assert_int_eq(via->make_id(&id), 0);
    for (int r = 0; r < 2; r++) child[r] = comm_start(stay, &id, r, 3);
    while (!left(&id)) pause_ms(1);
    child[2] = comm_start(stay, &id, 2, 3);
    for (int i = 0; i < 20000 && left(&id); i++) pause_ms(1);
    ck_assert_int_eq(left(&id), 0);
    for (int r = 0; r < 3; r++) kill(child[r], SIGKILL);
    for (int r = 0; r < 3; r++) waitpid(child[r], NULL, 0);
    ck_assert_int_eq(left(&id), 0);
}
END_TEST

/* ---- disagreement ---- */

/* Rank 1 does something else than the others, in its third operation, one way after another. */
static void disagree(const struct vs_comm_id *id, int rank, int world)
{
    static const char *const texts[][2] = {
        {"rank 1 is in reduce_scatter 2 of 32 bytes (fp64), this rank in all_gather 2 of 32 bytes (fp64)",
         "rank 0 is in all_gather 2 of 32 bytes (fp64), this rank in reduce_scatter 2 of 32 bytes (fp64)"},
        {"rank 1 is in all_gather 2 of 24 bytes (fp64), this", "rank 0 is in all_gather 2 of 32 bytes (fp64), this"},
        {"rank 1 is in all_gather 2 of 32 bytes (fp32), this", "rank 0 is in all_gather 2 of 32 bytes (fp64), this"},
        {"in all_gather 2 of 32 bytes (fp64, 2 parts), this", "rank 0 is in all_gather 2 of 32 bytes (fp64), this"},
    };
    for (int way = 0; way < 4; way++) {
        struct vs_comm_id mine = *id;
        double send[16] = {0}, recv[16];
        mine.bytes[0] = (unsigned char)(mine.bytes[0] + way);
        void *c = comm_opened(&mine, rank, world);
        for (int i = 0; i < 2; i++) MUST(!via->all_reduce(c, send, recv, 4, VS_COMM_fp64, NULL), "all_reduce");
        struct vs_comm_part part[2] = {{send, recv, 4, VS_COMM_fp64}, {send, recv + 8, 1, VS_COMM_fp64}};
        if (rank == 1 && way == 1) part[0].count = 3;
        if (rank == 1 && way == 2) part[0].count = 8, part[0].dtype = VS_COMM_fp32;
        if (rank == 1 && way == 3) part[0].count = 3;
        int err = rank == 1 && way == 0 ? via->reduce_scatter(c, part, 1, NULL)
                                        : via->all_gather(c, part, rank == 1 && way == 3 ? 2 : 1, NULL);
        MUST(err == -EPROTO, "way %d: %d", way, err);
        MUST(strstr(via->last_error(), texts[way][rank == 1]), "way %d", way);
        MUST(via->check(c) == -EPROTO, "check");
        MUST(via->all_reduce(c, send, recv, 4, VS_COMM_fp64, NULL) == -EPROTO, "again");
        via->close(c);
    }
}

START_TEST(test_ranks_that_disagree)
{
    comm_run(disagree, 3);
}
END_TEST

/* A rank that leaves the last operation out and closes does not leave the others waiting. */
static void leave(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    float x = 1;
    MUST(!via->all_reduce(c, &x, &x, 1, VS_COMM_fp32, NULL) && x == (float)world, "%g", x);
    if (rank == 1) pause_ms(50);
    if (rank != 1) {
        MUST(via->all_reduce(c, &x, &x, 1, VS_COMM_fp32, NULL) == -EPROTO, "all_reduce");
        MUST(!strcmp(via->last_error(), "test: rank 1 has closed this communicator"), "text");
    }
    via->close(c);
}

START_TEST(test_a_rank_that_leaves)
{
    comm_run(leave, 3);
}
END_TEST

static int *refused; /* how many ranks were, in both ways: shared by all */

/* Rank 2 thinks that there are 4, or that it is rank 1. A rank that comes when the others have given up ends by its own thread. */
static void wrong_place(const struct vs_comm_id *id, int rank, int world)
{
    static const char *const texts[2][2] = {{"world", "stopped"}, {"rank 1 is there twice", "stopped"}};
    for (int way = 0; way < 2; way++) {
        struct vs_comm_id mine = *id;
        void *c = NULL;
        pthread_t thread;
        mine.bytes[0] = (unsigned char)(mine.bytes[0] + way);
        MUST(!pthread_create(&thread, NULL, abort_later, &c), "thread");
        int err = via->open(&mine, rank == 2 && way ? 1 : rank, rank == 2 && !way ? 4 : world, "test", &c);
        MUST(err == -EPROTO || err == -ECANCELED, "open: %d", err);
        MUST(strstr(via->last_error(), texts[way][err == -ECANCELED]), "way %d: %d", way, err);
        __atomic_fetch_add(&refused[way], err == -EPROTO, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        via->close(c);
    }
}

START_TEST(test_ranks_that_do_not_fit)
{
    refused = mmap(NULL, 2 * sizeof *refused, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(refused, MAP_FAILED);
    comm_run(wrong_place, 3);
    ck_assert_int_ge(refused[0], 1);
    ck_assert_int_eq(refused[1], 1);
}
END_TEST

Suite *make_comm_ends_suite(void)
{
    Suite *s = suite_create("comm_ends");
    TCase *ends = tcase_create("comm_ends");
    tcase_set_timeout(ends, 60);
    tcase_add_test(ends, test_abort);
    tcase_add_test(ends, test_abort_while_opening);
    tcase_add_test(ends, test_killed_ranks_leave_nothing);
    tcase_add_test(ends, test_ranks_that_disagree);
    tcase_add_test(ends, test_a_rank_that_leaves);
    tcase_add_test(ends, test_ranks_that_do_not_fit);
    suite_add_tcase(s, ends);
    return s;
}
