/* SPDX-License-Identifier: MIT
 *
 * test_team_end.c: every way in which a rank can fail ends all ranks, in time and with its name, and an orderly end says nothing.
 * Ranks are processes (team_case.h); nothing is judged by exact time.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/team_case.h"

Suite *make_team_end_suite(void);

enum { MEET_MS = 15000, SHORT_MS = 400 * TEAM_SLOW };
static struct ranks r;

static void end_of_four(const char *scenario, unsigned timeout_ms, const char *who)
{
    setenv("VS_TEST_TEAM_WHO", who, 1);
    ranks_begin(&r);
    ranks_start_all(&r, 4, timeout_ms, scenario);
    unsetenv("VS_TEST_TEAM_WHO");
    ranks_wait(&r);
}

/* A block of one line for the reason and one per rank, each with the rank that says it in front. */
static void one_block(int i)
{
    char prefix[16], ends[32];
    int lines = 0;
    snprintf(prefix, sizeof prefix, "rank %d: ", i);
    snprintf(ends, sizeof ends, "%sthe job ends: ", prefix);
    ck_assert_msg(!strncmp(r.text[i], ends, strlen(ends)), "%s", r.text[i]);
    for (const char *at = r.text[i]; *at; at = strchr(at, '\n') + 1, lines++)
        ck_assert_msg(!strncmp(at, prefix, strlen(prefix)) && strchr(at, '\n'), "%s", r.text[i]);
    ck_assert_msg(lines == 5, "%s", r.text[i]);
}

START_TEST(test_a_rank_that_is_killed)
{
    static const int ranks[] = {0, 2, 3};
    int k = ranks[_i];
    char name[64], who[2] = {(char)('0' + k), 0};
    end_of_four(k == 3 ? "exits" : "killed", MEET_MS, who);
    for (int i = 0; i < 4; i++) {
        if (i == k) continue;
        ranks_ended_with(&r, i, RANK_STOPPED);
        one_block(i);
        snprintf(name, sizeof name, "the job ends: rank %d is gone (its connection ended", k);
        ranks_said_it(&r, i, name);
        snprintf(name, sizeof name, "rank %d:   rank %d: ", i, k);
        ranks_said_it(&r, i, name);
        ranks_said_it(&r, i, "; gone\n");
        ranks_said_it(&r, i, "; waits in step 1, operation 1 (all_gather block01) for ");
        ranks_said_it(&r, i, "last completed step 1, operation 0 (all_gather block00)");
    }
    ranks_ended_with(&r, k, k == 3 ? 1 : -SIGKILL);
    ranks_end(&r);
}
END_TEST

START_TEST(test_a_rank_that_is_delayed)
{
    end_of_four("delayed", SHORT_MS, "1");
    for (int i = 0; i < 4; i++) {
        ranks_ended_with(&r, i, RANK_STOPPED);
        one_block(i);
        ranks_said_it(&r, i, " did not complete step 1, operation 1 (all_gather block01) within ");
        ranks_said_it(&r, i, "; rank 1 has not begun it\n");
        ranks_said_it(&r, i,
                      "rank 1: last completed step 1, operation 0 (all_gather block00); between operations for ");
        ranks_said_it(&r, i, ": it has not begun step 1, operation 1 (all_gather block01)\n");
    }
    ranks_end(&r);
}
END_TEST

/* Its connection does not end. Rank 0 tells the others of it, and they do without where it is rank 0. */
START_TEST(test_a_rank_that_freezes)
{
    char who[2] = {(char)('0' + _i), 0};
    setenv("VS_TEST_TEAM_WHO", who, 1);
    ranks_begin(&r);
    ranks_start_all(&r, 3, SHORT_MS, "freezes");
    unsetenv("VS_TEST_TEAM_WHO");
    for (int i = 0; i < 3; i++)
        if (i != _i) ranks_wait_said(&r, i, " did not complete step 1, operation "); /* which one: whether its last news came through */
    kill(r.pid[_i], SIGKILL);
    ranks_wait(&r);
    for (int i = 0; i < 3; i++) ranks_ended_with(&r, i, i == _i ? -SIGKILL : RANK_STOPPED);
    ranks_end(&r);
}
END_TEST

START_TEST(test_a_rank_that_leaves_an_operation_out)
{
    end_of_four("skips", SHORT_MS, "2");
    for (int i = 0; i < 4; i++) {
        ranks_ended_with(&r, i, RANK_STOPPED);
        one_block(i);
        ranks_said_it(&r, i,
                      "rank 2: last completed step 1, operation 0 (all_gather block00); waits in step 1, operation 2 "
                      "(reduce_scatter block01) for ");
        ranks_said_it(&r, i, ": it left out step 1, operation 1 (all_gather block01)\n");
    }
    ranks_end(&r);
}
END_TEST

START_TEST(test_a_rank_that_fails)
{
    char who[2] = {(char)('0' + _i), 0}, name[96];
    end_of_four("fails", MEET_MS, who);
    for (int i = 0; i < 4; i++) {
        ranks_ended_with(&r, i, RANK_STOPPED);
        one_block(i);
        snprintf(name, sizeof name, "the job ends: rank %d failed: out of memory: 3.0 GiB?were asked for\n", _i);
        ranks_said_it(&r, i, name);
    }
    ranks_end(&r);
}
END_TEST

START_TEST(test_one_rank_alone_is_watched_too)
{
    ranks_begin(&r);
    ranks_start(&r, 0, 1, SHORT_MS, "hangs alone", NULL);
    ranks_start(&r, 0, 1, MEET_MS, "fails", "VS_TEST_TEAM_WHO=0");
    ranks_wait(&r);
    ranks_ended_with(&r, 0, RANK_STOPPED);
    ranks_said_it(&r, 0, "rank 0: the job ends: rank 0 did not complete step 7, operation 0 within ");
    ranks_said_it(&r, 0, "rank 0:   rank 0: completed no operation; waits in step 7, operation 0 for ");
    ranks_ended_with(&r, 1, RANK_STOPPED);
    ranks_said_it(&r, 1, "rank 0: the job ends: rank 0 failed: out of memory");
    ranks_end(&r);
}
END_TEST

START_TEST(test_exchanges_that_differ)
{
    ranks_begin(&r);
    ranks_start_all(&r, 3, MEET_MS, "unlike");
    ranks_all_ended_with(
        &r, RANK_STOPPED,
        "rank 1 is in exchange 1 of 4 bytes (gather), rank 0 in exchange 1 of 8 bytes (gather): not the same program");
}
END_TEST

START_TEST(test_many_ranks_are_summed_up)
{
    enum { WORLD = 20 };
    setenv("VS_TEST_TEAM_WHO", "17", 1);
    ranks_begin(&r);
    ranks_start_all(&r, WORLD, MEET_MS, "killed");
    unsetenv("VS_TEST_TEAM_WHO");
    ranks_wait(&r);
    for (int i = 0; i < WORLD; i++) {
        if (i == 17) continue;
        ranks_ended_with(&r, i, RANK_STOPPED);
        ranks_said_it(&r, i, "the job ends: rank 17 is gone");
        ranks_said_it(&r, i, ":   rank 17: ");
        ranks_said_it(&r, i, " ranks are where this one is:\n");
    }
    ranks_end(&r);
}
END_TEST

START_TEST(test_an_orderly_end_is_silent)
{
    static const char *const scenario[] = {"leave in order", "leave backwards", "leave long after"};
    int world = _i == 2 ? 2 : 4;
    ranks_begin(&r);
    ranks_start_all(&r, world, MEET_MS, scenario[_i]);
    ranks_wait(&r);
    for (int i = 0; i < world; i++) {
        ranks_ended_with(&r, i, RANK_OK);
        ck_assert_str_eq(r.text[i], "");
    }
    ranks_end(&r);
}
END_TEST

Suite *make_team_end_suite(void)
{
    Suite *s = suite_create("team_end");
    TCase *end = tcase_create("end");
    tcase_set_timeout(end, 30);
    tcase_add_loop_test(end, test_a_rank_that_is_killed, 0, 3);
    tcase_add_test(end, test_a_rank_that_is_delayed);
    tcase_add_loop_test(end, test_a_rank_that_freezes, 0, 2);
    tcase_add_test(end, test_a_rank_that_leaves_an_operation_out);
    tcase_add_loop_test(end, test_a_rank_that_fails, 0, 3);
    tcase_add_test(end, test_one_rank_alone_is_watched_too);
    tcase_add_test(end, test_exchanges_that_differ);
    tcase_add_test(end, test_many_ranks_are_summed_up);
    tcase_add_loop_test(end, test_an_orderly_end_is_silent, 0, 3);
    suite_add_tcase(s, end);
    return s;
}
