/* SPDX-License-Identifier: MIT
 *
 * test_launch.c: who a rank is, by each launcher's variables and each value that is none; and our own launcher: what its ranks get, how
 * their ends are told, and that none is ever left. Ranks are processes (team_case.h).
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/team_case.h"
#include "workloads/launch.h"
#include "workloads/team.h"

Suite *make_launch_suite(void);

static struct ranks r;

/* ---- the place ---- */

static const char *const all_names[] = {"RANK",
                                        "WORLD_SIZE",
                                        "LOCAL_RANK",
                                        "LOCAL_WORLD_SIZE",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_USE_AGENT_STORE",
                                        "OMPI_COMM_WORLD_RANK",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_LOCAL_RANK",
                                        "OMPI_COMM_WORLD_LOCAL_SIZE",
                                        "PMI_RANK",
                                        "PMI_SIZE",
                                        "MPI_LOCALRANKID",
                                        "MPI_LOCALNRANKS",
                                        "SLURM_PROCID",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_LOCALID",
                                        "SLURM_STEP_NUM_NODES",
                                        "VRAMSCOPE_LAUNCHER"};

/* The environment has these "NAME=value" words, cut at blanks, and nothing else of a launcher's. */
static int place(const char *words, struct vs_team_place *p, char why[256])
{
    char copy[512], *save, *word;
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) unsetenv(all_names[i]);
    snprintf(copy, sizeof copy, "%s", words);
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *equal = strchr(word, '=');
        *equal = 0;
        setenv(word, equal + 1, 1);
    }
    *why = 0;
    return vs_team_place(p, why, 256);
}

static const struct {
    const char *words, *launcher, *address;
    int rank, world, local_rank, port;
} places[] = {
    {"", "none", "", 0, 1, 0, 0},
    {"RANK= WORLD_SIZE=", "none", "", 0, 1, 0, 0},
    {"WORLD_SIZE=1", "none", "", 0, 1, 0, 0},
    {"RANK=0 WORLD_SIZE=1", "torchrun", "", 0, 1, 0, 0},
    {"RANK=3 WORLD_SIZE=8 LOCAL_RANK=1 MASTER_ADDR=node7 MASTER_PORT=1234", "torchrun", "node7", 3, 8, 1, 1234},
    {"RANK=3 WORLD_SIZE=8 LOCAL_RANK=1 MASTER_ADDR=node7", "torchrun", "node7", 3, 8, 1, 29500},
    {"RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=65535", "torchrun", "127.0.0.1", 1, 2, 1, 65535},
    {"RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 MASTER_ADDR=a MASTER_PORT=1234 TORCHELASTIC_USE_AGENT_STORE=True", "torchrun",
     "a", 1, 2, 1, 1235},
    {"RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 MASTER_ADDR=a MASTER_PORT=1234 TORCHELASTIC_USE_AGENT_STORE=False", "torchrun",
     "a", 1, 2, 1, 1234},
    {"RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_PORT=77 VRAMSCOPE_LAUNCHER=vramscope", "vramscope",
     "127.0.0.1", 1, 2, 1, 77},
    {"OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=2 OMPI_COMM_WORLD_LOCAL_SIZE=4",
     "mpirun", "127.0.0.1", 2, 4, 2, 29500},
    {"OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=0 OMPI_COMM_WORLD_LOCAL_SIZE=2 "
     "MASTER_ADDR=10.0.0.1",
     "mpirun", "10.0.0.1", 2, 4, 0, 29500},
    {"PMI_RANK=1 PMI_SIZE=3 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=3", "mpirun", "127.0.0.1", 1, 3, 1, 29500},
    {"SLURM_PROCID=5 SLURM_STEP_NUM_TASKS=6 SLURM_LOCALID=5 SLURM_STEP_NUM_NODES=1 MASTER_PORT=9", "srun", "127.0.0.1", 5, 6, 5,
     9},
    {"PMI_RANK=1 PMI_SIZE=2 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=0 SLURM_STEP_NUM_NODES=2 MASTER_ADDR=c", "srun",
     "c", 1, 2, 0, 29500},
    {"SLURM_PROCID=5 SLURM_STEP_NUM_TASKS=6 SLURM_LOCALID=2 SLURM_STEP_NUM_NODES=2 MASTER_ADDR=::1", "srun", "::1", 5, 6, 2,
     29500},
    {"SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=6 RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 MASTER_ADDR=b VRAMSCOPE_LAUNCHER=x", "torchrun",
     "b", 1, 2, 1, 29500},
    {"SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=1 MASTER_ADDR=b MASTER_PORT=5 TORCHELASTIC_USE_AGENT_STORE=True",
     "srun", "b", 1, 2, 1, 5},
    {"SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_LOCALID=0 SLURM_JOB_ID=7", "none", "", 0, 1, 0, 0}, /* a batch script */
    {"SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_STEP_NUM_TASKS=1 SLURM_LOCALID=0", "srun", "", 0, 1, 0, 0}, /* a shell in a job */
};

START_TEST(test_place)
{
    struct vs_team_place p;
    char why[256];
    int status = place(places[_i].words, &p, why);
    ck_assert_msg(!status, "%s: %s", places[_i].words, why);
    ck_assert_str_eq(p.launcher, places[_i].launcher);
    ck_assert_str_eq(p.address, places[_i].address);
    ck_assert_int_eq(p.rank, places[_i].rank);
    ck_assert_int_eq(p.world, places[_i].world);
    ck_assert_int_eq(p.local_rank, places[_i].local_rank);
    ck_assert_int_eq(p.port, places[_i].port);
    ck_assert_int_eq(vs_launched(), !strcmp(p.launcher, "vramscope"));
}
END_TEST

static const struct {
    const char *words, *why;
} bad_places[] = {
    {"WORLD_SIZE=4", "WORLD_SIZE is set and RANK is not: set both or neither"},
    {"RANK=1", "WORLD_SIZE is not set"},
    {"RANK=2 WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=a", "RANK is '2', not a number from 0 to 1 (WORLD_SIZE is 2)"},
    {"RANK=-1 WORLD_SIZE=2 MASTER_ADDR=a", "RANK is '-1', not a number from 0 to 1 (WORLD_SIZE is 2)"},
    {"RANK=1x WORLD_SIZE=2 MASTER_ADDR=a", "RANK is '1x', not a number from 0 to 1 (WORLD_SIZE is 2)"},
    {"RANK=+1 WORLD_SIZE=2 MASTER_ADDR=a", "RANK is '+1', not a number from 0 to 1 (WORLD_SIZE is 2)"},
    {"RANK=0 WORLD_SIZE=0", "WORLD_SIZE is '0', not a number from 1 to 65536"},
    {"RANK=0 WORLD_SIZE=99999999999999999999", "WORLD_SIZE is '99999999999999999999', not a number from 1 to 65536"},
    {"RANK=0 WORLD_SIZE=\033[31m", "WORLD_SIZE is '?[31m', not a number from 1 to 65536"},
    {"RANK=0 WORLD_SIZE=2 LOCAL_RANK=2 MASTER_ADDR=a", "LOCAL_RANK is '2', not a number from 0 to 1"},
    {"RANK=0 WORLD_SIZE=2 LOCAL_RANK=0", "WORLD_SIZE says 2 ranks, and nothing says where rank 0 is: set MASTER_ADDR"},
    {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a", "LOCAL_RANK is not set: which rank of this host is it"},
    {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=0", "MASTER_PORT is '0', not a number from 1 to 65535"},
    {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=65536",
     "MASTER_PORT is '65536', not a number from 1 to 65535"},
    {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=65535 TORCHELASTIC_USE_AGENT_STORE=True",
     "MASTER_PORT is 65535, where torchrun"},
    {"OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2",
     "OMPI_COMM_WORLD_SIZE says 4 ranks, and nothing says"},
    {"PMI_RANK=0", "PMI_SIZE is not set"},
    {"SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=2",
     "SLURM_STEP_NUM_TASKS says 2 ranks, and nothing says where rank 0 is"},
};

START_TEST(test_bad_place)
{
    struct vs_team_place p;
    char why[256];
    ck_assert_int_eq(place(bad_places[_i].words, &p, why), -EINVAL);
    ck_assert_msg(!strncmp(why, bad_places[_i].why, strlen(bad_places[_i].why)), "%s:\n%s", bad_places[_i].words, why);
    ck_assert_ptr_null(strchr(why, '\n'));
}
END_TEST

START_TEST(test_an_address_that_is_too_long)
{
    struct vs_team_place p;
    char why[256], name[300];
    memset(name, 'a', 256);
    name[256] = 0;
    place("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0", &p, why);
    setenv("MASTER_ADDR", name, 1);
    ck_assert_int_eq(vs_team_place(&p, why, sizeof why), -EINVAL);
    ck_assert_str_eq(why, "MASTER_ADDR is longer than 255 characters");
    name[255] = 0;
    setenv("MASTER_ADDR", name, 1);
    ck_assert_int_eq(vs_team_place(&p, why, sizeof why), 0);
    ck_assert_str_eq(p.address, name);
}
END_TEST

/* ---- the launcher ---- */

static void launch(const char *scenario, const char *more)
{
    char words[512];
    snprintf(words, sizeof words, "VS_TEST_TEAM_RANK=%s|%s", scenario, more);
    ranks_begin(&r);
    ranks_start_bare(&r, "launch", words);
}

static void said(const char *what)
{
    ranks_said_it(&r, 0, what);
}

static void launched_ended_with(int status)
{
    ranks_wait(&r);
    ranks_ended_with(&r, 0, status);
}

static void none_is_left(void)
{
    ranks_wait_gone(&r);
    ranks_end(&r);
}

START_TEST(test_what_ranks_get)
{
    char line[96];
    launch("says", "VS_TEST_TEAM_NPROC=3|OMP_NUM_THREADS=7|MASTER_ADDR=elsewhere");
    launched_ended_with(0);
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "rank %d of 3 here %d at 127.0.0.1 threads 7 by vramscope\n", i, i);
        said(line);
    }
    none_is_left();
    launch("says", "VS_TEST_TEAM_NPROC=200"); /* fewer than two cores each */
    launched_ended_with(0);
    said("here 199 at 127.0.0.1 threads 1 by vramscope\n");
    none_is_left();
}
END_TEST

START_TEST(test_a_status)
{
    launch("status", "VS_TEST_TEAM_NPROC=4|VS_TEST_TEAM_WHO=2");
    launched_ended_with(3);
    ck_assert_str_eq(r.text[0], "vramscope-workload: rank 2 ended with status 3\n");
    none_is_left();
}
END_TEST

START_TEST(test_launched_ranks_meet)
{
    launch("team exchange", "VS_TEST_TEAM_NPROC=3");
    launched_ended_with(0);
    ck_assert_str_eq(r.text[0], "");
    none_is_left();
}
END_TEST

/* By team.h the others learn of it, and end by themselves. */
START_TEST(test_a_launched_rank_is_killed)
{
    launch("team killed", "VS_TEST_TEAM_NPROC=4|VS_TEST_TEAM_WHO=2");
    launched_ended_with(128 + SIGKILL);
    said("vramscope-workload: rank 2 was ended by signal 9 (Killed)\n");
    said("rank 0: the job ends: rank 2 is gone");
    said("rank 3: the job ends: rank 2 is gone");
    said("vramscope-workload: rank 3 ended with status 7\n");
    ck_assert(!strstr(r.text[0], "still runs"));
    none_is_left();
}
END_TEST

/* Without it they get SIGTERM, those that are stopped too, and SIGKILL. */
START_TEST(test_ranks_that_do_not_end)
{
    static const char *const scenarios[] = {"killed", "stubborn", "stopped"};
    bool stubborn = _i == 1;
    launch(scenarios[_i], "VS_TEST_TEAM_NPROC=3|VS_TEST_TEAM_GRACE=300");
    launched_ended_with(stubborn ? 4 : 128 + SIGKILL);
    said(stubborn ? "vramscope-workload: rank 1 ended with status 4\n"
            : "vramscope-workload: rank 1 was ended by signal 9 (Killed)\n");
    said("vramscope-workload: rank 0 still runs 0.3 s later: it gets signal 15 (Terminated)\n");
    said("vramscope-workload: rank 2 still runs 0.3 s later: it gets signal 15 (Terminated)\n");
    ck_assert_int_eq(strstr(r.text[0], "it gets signal 9 (Killed)\n") != NULL, stubborn);
    none_is_left();
}
END_TEST

static void all_are_up(void)
{
    ranks_wait_said(&r, 0, "up 0;");
    ranks_wait_said(&r, 0, "up 1;");
    ranks_wait_said(&r, 0, "up 2;");
}

START_TEST(test_signals_are_passed_on)
{
    int signal = _i ? SIGTERM : SIGINT;
    launch("waits", "VS_TEST_TEAM_NPROC=3|VS_TEST_TEAM_GRACE=20000");
    all_are_up();
    kill(r.pid[0], signal);
    launched_ended_with(128 + signal);
    ck_assert_ptr_null(strstr(r.text[0], "vramscope-workload"));
    none_is_left();
}
END_TEST

START_TEST(test_the_launcher_is_killed)
{
    launch("waits", "VS_TEST_TEAM_NPROC=3");
    all_are_up();
    kill(r.pid[0], SIGKILL);
    launched_ended_with(-SIGKILL);
    none_is_left();
}
END_TEST

START_TEST(test_a_port_in_use)
{
    char words[96];
    int port, listener = team_listener(&port);
    snprintf(words, sizeof words, "VS_TEST_TEAM_PORT=%d", port);
    launch("says", words);
    launched_ended_with(1);
    snprintf(words, sizeof words,
             "vramscope-workload: port %d is in use by another program: give another --port, or none\n", port);
    ck_assert_str_eq(r.text[0], words);
    none_is_left();
    close(listener);
}
END_TEST

START_TEST(test_numbers_that_are_none)
{
    static const char *const words[] = {"VS_TEST_TEAM_NPROC=0", "VS_TEST_TEAM_NPROC=1025", "VS_TEST_TEAM_PORT=-1",
                                        "VS_TEST_TEAM_PORT=65536"};
    launch("says", words[_i]);
    launched_ended_with(2);
    said("vramscope-workload: cannot start ");
    none_is_left();
}
END_TEST

/* A shell that ignores the news of children (nohup's kind) does not hide how they ended. */
START_TEST(test_ignored_children)
{
    signal(SIGCHLD, SIG_IGN);
    launch("status", "VS_TEST_TEAM_NPROC=2");
    signal(SIGCHLD, SIG_DFL);
    launched_ended_with(3);
    none_is_left();
}
END_TEST

Suite *make_launch_suite(void)
{
    Suite *s = suite_create("launch");
    TCase *who = tcase_create("place"), *start = tcase_create("launcher");
    tcase_add_loop_test(who, test_place, 0, sizeof places / sizeof *places);
    tcase_add_loop_test(who, test_bad_place, 0, sizeof bad_places / sizeof *bad_places);
    tcase_add_test(who, test_an_address_that_is_too_long);
    tcase_set_timeout(start, 30);
    tcase_add_test(start, test_what_ranks_get);
    tcase_add_test(start, test_a_status);
    tcase_add_test(start, test_launched_ranks_meet);
    tcase_add_test(start, test_a_launched_rank_is_killed);
    tcase_add_loop_test(start, test_ranks_that_do_not_end, 0, 3);
    tcase_add_loop_test(start, test_signals_are_passed_on, 0, 2);
    tcase_add_test(start, test_the_launcher_is_killed);
    tcase_add_test(start, test_a_port_in_use);
    tcase_add_loop_test(start, test_numbers_that_are_none, 0, 4);
    tcase_add_test(start, test_ignored_children);
    suite_add_tcase(s, who);
    suite_add_tcase(s, start);
    return s;
}
