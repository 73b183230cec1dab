/* SPDX-License-Identifier: MIT
 *
 * test_team.c: the ranks of a job meet, whoever else knocks, and what they exchange arrives; those that do not fit are told why.
 * tests/test_team_end.c has the end of a job. Ranks are processes (team_case.h); nothing is judged by exact time.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/team_case.h"

Suite *make_team_suite(void);

enum { MEET_MS = 15000, SHORT_MS = 400 * TEAM_SLOW };
static struct ranks r;

/* ---- the meeting ---- */

START_TEST(test_ranks_meet_and_exchange)
{
    ranks_begin(&r);
    ranks_start_all(&r, _i, MEET_MS, "exchange");
    ranks_wait(&r);
    for (int i = 0; i < _i; i++) {
        ranks_ended_with(&r, i, RANK_OK);
        ck_assert_str_eq(r.text[i], "");
    }
    ranks_end(&r);
}
END_TEST

START_TEST(test_operations_that_all_complete_are_silent)
{
    ranks_begin(&r);
    ranks_start_all(&r, 3, MEET_MS, "works");
    ranks_wait(&r);
    for (int i = 0; i < 3; i++) ck_assert_str_eq(r.text[i], "");
    ranks_all_ended_with(&r, RANK_OK, "");
}
END_TEST

/* As torchrun gives it where its own store listens at MASTER_PORT. */
START_TEST(test_the_port_beside_torchrun)
{
    ranks_begin(&r);
    for (int i = 0; i < 2; i++) ranks_start(&r, i, 2, MEET_MS, "exchange", "TORCHELASTIC_USE_AGENT_STORE=True");
    ranks_all_ended_with(&r, RANK_OK, "");
}
END_TEST

START_TEST(test_addresses)
{
    static const char *const address[] = {"MASTER_ADDR=localhost", "MASTER_ADDR=::1", "MASTER_ADDR=0.0.0.0"};
    int six = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool any = six >= 0 && !bind(six, (struct sockaddr *)&here, sizeof here);
    if (six >= 0) close(six);
    if (_i == 1 && !any) return; /* a host without IPv6 */
    ranks_begin(&r);
    for (int i = 0; i < 2; i++) ranks_start(&r, i, 2, MEET_MS, "exchange", address[_i]);
    ranks_all_ended_with(&r, RANK_OK, "");
}
END_TEST

START_TEST(test_another_world)
{
    ranks_begin(&r);
    for (int i = 0; i < 4; i++) ranks_start(&r, i, 4, MEET_MS, "exchange", i == 2 ? "WORLD_SIZE=3" : NULL);
    ranks_all_ended_with(&r, RANK_PROTO, "rank 2 says 3 ranks, rank 0 says 4");
}
END_TEST

START_TEST(test_another_command)
{
    ranks_begin(&r);
    for (int i = 0; i < 3; i++)
        ranks_start(&r, i, 3, MEET_MS, "exchange",
                    i == 1 ? "VS_TEST_TEAM_WORDS=train --batch 8 --mode\033 a"
                           : "VS_TEST_TEAM_WORDS=train --batch 4 --mode");
    ranks_wait(&r);
    ranks_said_it(&r, 0, "rank 0: rank 1 was not started like rank 0: after '--batch' rank 1 has '8', rank 0 '4', ");
    ranks_said_it(&r, 0, "rank 1 has '--mode?', rank 0 '--mode', after '--mode' rank 1 has 'a', rank 0 nothing\n");
    ranks_all_ended_with(&r, RANK_PROTO,
                         "rank 1 was not started like rank 0: after '--batch' rank 1 has '8', rank 0 '4'");
}
END_TEST

START_TEST(test_a_command_that_is_too_long)
{
    static char words[5000] = "VS_TEST_TEAM_WORDS=";
    memset(words + strlen(words), 'x', 4097);
    setenv("VS_TEST_TEAM_WORDS", words + 19, 1);
    ranks_begin(&r);
    ranks_start(&r, 0, 1, MEET_MS, "exchange", NULL);
    unsetenv("VS_TEST_TEAM_WORDS");
    ranks_all_ended_with(
        &r, RANK_WRONG,
        "rank 0: the command is too long to be compared between ranks (4097 characters, 4096 at most)\n");
}
END_TEST

START_TEST(test_a_rank_twice)
{
    ranks_begin(&r);
    for (int i = 0; i < 4; i++) ranks_start(&r, i == 3 ? 1 : i, 4, MEET_MS, "exchange", NULL);
    ranks_all_ended_with(&r, RANK_PROTO, "rank 1 came twice");
}
END_TEST

START_TEST(test_a_rank_that_does_not_come)
{
    ranks_begin(&r);
    ranks_start(&r, 0, 4, SHORT_MS, "exchange", NULL);
    ranks_start(&r, 2, 4, MEET_MS, "exchange", NULL);
    ranks_all_ended_with(&r, RANK_TIMEDOUT, "ranks 1, 3 did not come to 127.0.0.1, port ");
}
END_TEST

START_TEST(test_a_rank_that_dies_before_all_have_come)
{
    ranks_begin(&r);
    ranks_start(&r, 0, 3, MEET_MS, "exchange", NULL);
    ranks_start(&r, 1, 3, MEET_MS, "exchange", NULL);
    usleep(300000 * TEAM_SLOW); /* before or after it is in: the others end in either case */
    kill(r.pid[1], SIGKILL);
    usleep(50000);
    ranks_start(&r, 2, 3, SHORT_MS, "exchange", NULL);
    ranks_wait(&r);
    ranks_ended_with(&r, 0, RANK_RESET);
    ranks_ended_with(&r, 1, -SIGKILL);
    ranks_said_it(&r, 0, "rank 0: rank 1 is gone before all had come");
    ranks_said_it(&r, 2, "rank 2: rank ");
    ranks_end(&r);
}
END_TEST

START_TEST(test_an_address_in_use)
{
    int listener, fd;
    ranks_begin(&r);
    listener = team_listener(&r.port);
    ranks_start(&r, 0, 2, SHORT_MS, "exchange", NULL);
    ranks_start(&r, 1, 2, MEET_MS, "exchange", NULL);
    ck_assert_int_ge(fd = accept(listener, NULL, NULL), 0);
    close(fd); /* before it says a word: tried again */
    ck_assert_int_ge(fd = accept(listener, NULL, NULL), 0);
    ck_assert_int_eq(write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
    ranks_wait(&r);
    close(fd);
    close(listener);
    ranks_ended_with(&r, 0, RANK_IN_USE);
    ranks_said_it(&r, 0, " of 127.0.0.1 is in use by another program");
    ranks_said_it(&r, 0, "--port or MASTER_PORT");
    ranks_ended_with(&r, 1, RANK_PROTO);
    ranks_said_it(&r, 1, "is not rank 0 of this job");
    ranks_end(&r);
}
END_TEST

START_TEST(test_no_rank_0)
{
    static const char *const said_by[] = {"rank 0: MASTER_ADDR 'no.such.host.invalid' is no address",
                                          "rank 1: rank 0 was not reached at no.such.host.invalid, port ",
                                          "rank 1: rank 0 was not reached at 127.0.0.1, port ",
                                          "s: something answers there, and says nothing\n"};
    int listener;
    ranks_begin(&r);
    for (int i = 0; i < 2; i++) ranks_start(&r, i, 2, 100, "exchange", "MASTER_ADDR=no.such.host.invalid");
    ranks_start(&r, 1, 2, 100, "exchange", NULL);
    listener = team_listener(&r.port);
    ranks_start(&r, 1, 2, 100, "exchange", NULL);
    ranks_wait(&r);
    for (int i = 0; i < r.count; i++) {
        ranks_ended_with(&r, i, i ? RANK_TIMEDOUT : RANK_WRONG);
        ranks_said_it(&r, i, said_by[i]);
    }
    ranks_end(&r);
    close(listener);
}
END_TEST

/* ---- strangers ---- */

static int knock(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)r.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 2000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!connect(fd, (struct sockaddr *)&a, sizeof a)) return fd;
        close(fd);
        usleep(10000);
    }
    ck_abort_msg("rank 0 does not listen");
    return -1;
}

START_TEST(test_strangers_are_let_go)
{
    static const char wrong_type[16] = {2, 0, 0, 0, 8, 0, 0, 0}, no_magic[32] = {1, 0, 0, 0, 24, 0, 0, 0};
    static const char half[12] = {1, 0, 0, 0, 100, 0, 0, 0, 'v', 's', 't', 'e'};
    static const char outside[28] = "\1\0\0\0\24\0\0\0vsteam\n\0\1\0\0\0\377\377\377\377\2\0\0";
    static const struct {
        const void *bytes;
        size_t count;
    } words[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
                 {wrong_type, 16},
                 {no_magic, 32},
                 {half, 12},
                 {outside, 28},
                 {"\1", 1},
                 {"", 0}};
    enum { COUNT = sizeof words / sizeof *words };
    int fd[COUNT + 100];
    ranks_begin(&r);
    ranks_start(&r, 0, 2, MEET_MS, "patient", NULL);
    for (int i = 0; i < COUNT; i++) {
        fd[i] = knock();
        ck_assert_int_eq(send(fd[i], words[i].bytes, words[i].count, MSG_NOSIGNAL), words[i].count);
    }
    for (int i = COUNT; i < COUNT + 100; i++) fd[i] = knock(); /* more than are kept */
    for (int i = COUNT; i < COUNT + 20; i++) close(fd[i]);
    ck_assert(!ranks_said(&r, 0, "met"));
    ranks_start(&r, 1, 2, MEET_MS, "patient", NULL);
    ranks_wait_said(&r, 1, "met");
    for (int i = 0; i < COUNT; i++) close(fd[i]);
    for (int i = COUNT + 20; i < COUNT + 100; i++) close(fd[i]);
    ranks_wait(&r);
    for (int i = 0; i < 2; i++) {
        ranks_ended_with(&r, i, RANK_OK);
        ck_assert_str_eq(r.text[i], "met\n");
    }
    ranks_end(&r);
}
END_TEST

/* A rank whose bytes are no frames any more ends the job, and nothing worse. */
START_TEST(test_hostile_bytes_from_a_rank)
{
    static const char hello[28] = "\1\0\0\0\24\0\0\0vsteam\n\0\1\0\0\0\1\0\0\0\2\0\0";
    static const struct {
        char bytes[12];
        size_t count;
    } words[] = {
        {"\4\0\0\0\377\377\377\377", 8}, /* longer than anything is */
        {"\4\0\0\0\0\0\0\0", 8},         /* no row */
        {"\7\0\0\0\4\0\0\0abcd", 12},    /* no part */
        {"\6\0\0\0\4\0\0\0abcd", 12},    /* what only rank 0 may say */
        {"\143\0\0\0\0\0\0\0", 8},       /* of no type */
    };
    ranks_begin(&r);
    ranks_start(&r, 0, 2, MEET_MS, "patient", NULL);
    int fd = knock();
    ck_assert_int_eq(send(fd, hello, 28, MSG_NOSIGNAL), 28);
    ranks_wait_said(&r, 0, "met");
    ck_assert_int_eq(send(fd, words[_i].bytes, words[_i].count, MSG_NOSIGNAL), words[_i].count);
    ranks_all_ended_with(&r, RANK_STOPPED, "rank 0: the job ends: rank 1 sent what no rank of this program sends");
    close(fd);
}
END_TEST

Suite *make_team_suite(void)
{
    Suite *s = suite_create("team");
    TCase *meet = tcase_create("meeting");
    tcase_set_timeout(meet, 30);
    tcase_add_loop_test(meet, test_ranks_meet_and_exchange, 1, 5);
    tcase_add_test(meet, test_operations_that_all_complete_are_silent);
    tcase_add_test(meet, test_the_port_beside_torchrun);
    tcase_add_loop_test(meet, test_addresses, 0, 3);
    tcase_add_test(meet, test_another_world);
    tcase_add_test(meet, test_another_command);
    tcase_add_test(meet, test_a_command_that_is_too_long);
    tcase_add_test(meet, test_a_rank_twice);
    tcase_add_test(meet, test_a_rank_that_does_not_come);
    tcase_add_test(meet, test_a_rank_that_dies_before_all_have_come);
    tcase_add_test(meet, test_an_address_in_use);
    tcase_add_test(meet, test_no_rank_0);
    tcase_add_test(meet, test_strangers_are_let_go);
    tcase_add_loop_test(meet, test_hostile_bytes_from_a_rank, 0, 5);
    suite_add_tcase(s, meet);
    return s;
}
