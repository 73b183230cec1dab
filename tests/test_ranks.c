/* SPDX-License-Identifier: MIT
 *
 * test_ranks.c: how ranks of a workload come to be and end (workloads/ranks.h), where one of them does not do its part. It judges no
 * time but that nothing hangs.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "recording.h"
#include "workloads/ranks.h"

Suite *make_ranks_suite(void);

enum { HANG_S = 30 }; /* seconds until something is taken for a hang */

static struct vs_device device;
static struct vs_comm comm;
static int *reached; /* how many ranks came to what does not work, in memory that they share */

static void here(void)
{
    __atomic_fetch_add(reached, 1, __ATOMIC_SEQ_CST);
}

static int never_open(const struct vs_comm_id *id, int rank, int world, const char *name, void **out)
{
    (void)id;
    (void)rank;
    (void)world;
    (void)name;
    *out = NULL;
    here();
    while (getpid()) pause(); /* an interface that leads nowhere */
    return 0;
}

static int no_id(struct vs_comm_id *id)
{
    (void)id;
    here();
    return -EIO;
}

static int no_gather(void *c, const struct vs_comm_part *parts, size_t count, void *stream)
{
    (void)c;
    (void)parts;
    (void)count;
    (void)stream;
    here();
    return -EIO;
}

/* In a process of its own: its exit status is 0 when opening ranks failed as it must. */
static void be_rank(int rank, int port)
{
    const struct vs_ranks_options options = {.patience_s = 4};
    struct vs_ranks r;
    char text[16];
    snprintf(text, sizeof text, "%d", rank);
    setenv("RANK", text, 1);
    setenv("LOCAL_RANK", text, 1);
    setenv("WORLD_SIZE", "2", 1);
    snprintf(text, sizeof text, "%d", port);
    setenv("MASTER_PORT", text, 1);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    int err = vs_ranks_open(&r, &options, &device, "test");
    if (err) vs_ranks_fail(&r, "it could not start");
    vs_ranks_close(&r);
    _exit(!err);
}

/* Rank `stuck` (-1: none) is not waited for. least: so many come to what does not work. */
static void both_fail(int stuck, int least)
{
    pid_t child[2];
    int status, port = 20000 + (int)(getpid() % 10000);
    time_t end = time(NULL) + HANG_S;
    for (int r = 0; r < 2; r++) {
        child[r] = fork();
        ck_assert_int_ge(child[r], 0);
        if (!child[r]) {
            if (stuck >= 0 && r != stuck) comm.open = vs_device_cpu()->comm->open;
            be_rank(r, port);
        }
    }
    for (int r = 0; r < 2; r++) {
        pid_t done = 0;
        if (r == stuck) continue;
        while (!(done = waitpid(child[r], &status, WNOHANG)) && time(NULL) < end) usleep(20000);
        if (!done) kill(child[r], SIGKILL);
        ck_assert_msg(done == child[r] && status == 0, "rank %d: %s, status %x", r, done ? "ended" : "hangs", status);
    }
    if (stuck >= 0) kill(child[stuck], SIGKILL);
    if (stuck >= 0) waitpid(child[stuck], &status, 0);
    ck_assert_int_ge(*reached, least);
    munmap(reached, sizeof *reached);
}

static void begin(void)
{
    device = *vs_device_cpu();
    comm = *device.comm;
    device.comm = &comm;
    reached = mmap(NULL, sizeof *reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(reached, MAP_FAILED);
}

START_TEST(test_a_communicator_that_never_comes)
{
    comm.open = never_open;
    both_fail(1, 1);
}
END_TEST

START_TEST(test_no_communicators)
{
    comm.make_id = no_id;
    both_fail(-1, 1);
}
END_TEST

START_TEST(test_collectives_that_do_not_work)
{
    comm.all_gather = no_gather;
    both_fail(-1, 1);
}
END_TEST

Suite *make_ranks_suite(void)
{
    Suite *s = suite_create("ranks");
    TCase *c = tcase_create("ranks");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, begin, NULL);
    if (recording_forks_make_sense()) {
        tcase_add_test(c, test_a_communicator_that_never_comes);
        tcase_add_test(c, test_no_communicators);
        tcase_add_test(c, test_collectives_that_do_not_work);
    }
    suite_add_tcase(s, c);
    return s;
}
