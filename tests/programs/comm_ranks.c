/* SPDX-License-Identifier: MIT */
/* link: -l:../lib/tool.a -ldl -lpthread */
/*
 * comm_ranks.c: ranks that compute on the CPU, for the recorder: comm_ranks WORLD starts that many processes, which do four
 * collectives on one communicator over shared memory; rank 0 comes to the first 100 ms late. Exit status 0: the results are right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/comm.h"

enum { MOST = 8 };

static int rank_main(const struct vs_comm_id *id, int rank, int world)
{
    const struct vs_comm *via = &vs_comm_shared_memory;
    float part[100] = {0}, whole[100 * MOST];
    double terms[8 * MOST] = {0}, sum[8], more[3];
    unsigned short halves[10];
    struct timespec late = {.tv_nsec = 100000000};
    void *comm;
    int i;
    for (i = 0; i < 100; i++) part[i] = (float)rank;
    for (i = 0; i < 8 * MOST; i++) terms[i] = i;
    for (i = 0; i < 10; i++) halves[i] = 0x3c00; /* 1 */
    struct vs_comm_part gathered = {part, whole, 100, VS_COMM_fp32};
    struct vs_comm_part reduced[2] = {{terms, sum, 8, VS_COMM_fp64}, {terms, more, 3, VS_COMM_fp64}};
    if (via->open(id, rank, world, "units", &comm)) goto failed;
    if (!rank) nanosleep(&late, NULL);
    if (via->all_gather(comm, &gathered, 1, NULL) || via->reduce_scatter(comm, reduced, 2, NULL)) goto failed;
    if (via->all_reduce(comm, halves, halves, 10, VS_COMM_fp16, NULL)) goto failed;
    via->close(comm);
    return whole[100 * (world - 1)] != (float)(world - 1) || more[1] != world * (3.0 * rank + 1);
failed:
    fprintf(stderr, "rank %d: %s\n", rank, via->last_error());
    return 1;
}

int main(int argc, char **argv)
{
    int world = argc > 1 ? atoi(argv[1]) : 1, bad = 0, status, r;
    struct vs_comm_id id;
    if (world > MOST || vs_comm_shared_memory.make_id(&id)) return 1;
    for (r = 0; r < world; r++)
        if (!fork()) return rank_main(&id, r, world);
    while (wait(&status) > 0) bad |= status;
    return bad != 0;
}
