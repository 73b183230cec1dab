/* SPDX-License-Identifier: MIT
 *
 * rank_case.h: processes side by side, as a launcher would start them, each with its variables and a file for what it prints.
 */
#ifndef VS_TESTS_RANK_CASE_H
#define VS_TESTS_RANK_CASE_H

#include <sys/resource.h>
#include <time.h>

#include "experiment_case.h"

enum { RANKS = 3, PATIENCE = 40 }; /* PATIENCE: seconds until something is taken for a hang */

static struct rank {
    pid_t pid;
    int status; /* as waitpid gives it */
    char out[32], text[32768];
} ranks[RANKS];
static char port[16];

/* What they call a rank, a rank of the host, and how many there are. */
enum { TORCHRUN, MPIRUN, PMI, SRUN, LAUNCHERS };
static const char *const launchers[LAUNCHERS][3] = {
    [TORCHRUN] = {"RANK", "LOCAL_RANK", "WORLD_SIZE"},
    [MPIRUN] = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"},
    [PMI] = {"PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"},
    [SRUN] = {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"},
};

static inline void rank_folder(void) /* for a checked fixture; cli_clean ends it */
{
    cli_folder();
    unsetenv("VRAMSCOPE_WORKLOAD");
    snprintf(port, sizeof port, "%d", 20000 + (int)(getpid() % 10000));
}

/* argv[0]: of build/bin; room: address space, 0: all. */
static inline void rank_start(int rank, int launcher, const char *world, const char *const argv[], size_t room)
{
    struct rank *r = &ranks[rank];
    char number[16], program[256];
    const struct rlimit limit = {room, room};
    snprintf(r->out, sizeof r->out, ".rank%d", rank);
    r->pid = fork();
    ck_assert_int_ge(r->pid, 0);
    if (r->pid) return;
    int fd = open(r->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    snprintf(number, sizeof number, "%d", rank);
    snprintf(program, sizeof program, VS_BUILD_DIR "/bin/%s", argv[0]);
    setenv(launchers[launcher][0], number, 1);
    setenv(launchers[launcher][1], number, 1);
    setenv(launchers[launcher][2], world, 1);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    setenv("MASTER_PORT", port, 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || (room && setrlimit(RLIMIT_AS, &limit))) _exit(99);
    execv(program, (char *const *)argv);
    _exit(99);
}

static inline void rank_finish(int count)
{
    time_t end = time(NULL) + PATIENCE;
    for (int i = 0; i < count; i++) {
        struct rank *r = &ranks[i];
        const struct timespec pause = {0, 20000000};
        int done;
        while (!(done = waitpid(r->pid, &r->status, WNOHANG)) && time(NULL) < end) nanosleep(&pause, NULL);
        if (!done) {
            for (int k = i; k < count; k++) kill(ranks[k].pid, SIGKILL);
            cli_read(r->out, r->text, sizeof r->text);
            ck_abort_msg("rank %d hangs: %s", i, r->text);
        }
        cli_read(r->out, r->text, sizeof r->text);
    }
}

static inline void rank_ended(int rank, int status, const char *text)
{
    const struct rank *r = &ranks[rank];
    ck_assert_msg(WIFEXITED(r->status) && WEXITSTATUS(r->status) == status, "rank %d: status %x: %s", rank, r->status, r->text);
    ck_assert_msg(strstr(r->text, text), "rank %d did not say '%s': %s", rank, text, r->text);
}

#endif
