/* SPDX-License-Identifier: MIT
 *
 * comm_case.c: see comm_case.h.
 */
#include "comm_case.h"

#include <check.h>
#include <sys/wait.h>

pid_t comm_start(comm_rank *work, const struct vs_comm_id *id, int rank, int world)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child) return child;
    alarm(90); /* others of a rank that failed wait for it */
    work(id, rank, world);
    _exit(0);
}

void comm_run(comm_rank *work, int world)
{
    struct vs_comm_id id;
    pid_t child[4];
    int status[4];
    ck_assert_int_eq(vs_comm_shared_memory.make_id(&id), 0);
    for (int r = 0; r < world; r++) child[r] = comm_start(work, &id, r, world);
    for (int r = 0; r < world; r++) ck_assert_int_eq(waitpid(child[r], &status[r], 0), child[r]);
    for (int r = 0; r < world; r++) ck_assert_msg(status[r] == 0, "rank %d of %d: status %x", r, world, (unsigned)status[r]);
}

void *comm_opened(const struct vs_comm_id *id, int rank, int world)
{
    void *c;
    int err = vs_comm_shared_memory.open(id, rank, world, "test", &c);
    MUST(err == 0 && c, "open: %d", err);
    return c;
}
