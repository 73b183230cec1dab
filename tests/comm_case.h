/* SPDX-License-Identifier: MIT
 *
 * comm_case.h: ranks as forks of a test, and how one of them says that something is wrong.
 */
#ifndef VS_TESTS_COMM_CASE_H
#define VS_TESTS_COMM_CASE_H

#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "kernels/comm.h"

/* In a rank: Check's own assertions would end it as if it were the test. */
#define MUST(condition, ...)                                                                    \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: rank %d of %d: ", __FILE__, __LINE__, rank, world);         \
            fprintf(stderr, "" __VA_ARGS__);                                                    \
            fprintf(stderr, "; last error: %s\n", vs_comm_shared_memory.last_error());          \
            _exit(1);                                                                           \
        }                                                                                       \
    } while (0)

typedef void comm_rank(const struct vs_comm_id *id, int rank, int world);

pid_t comm_start(comm_rank *work, const struct vs_comm_id *id, int rank, int world);
/* All ranks, at most 4, of one id; waits for them. */
void comm_run(comm_rank *work, int world);
/* In a rank. */
void *comm_opened(const struct vs_comm_id *id, int rank, int world);

#endif
