/* SPDX-License-Identifier: MIT
 *
 * test_category.c: categories and phases, inferred from recorded runs of real programs (fixtures/) and compared with what
 * the programs themselves knew.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "category_case.h"
#include "ingest_case.h"
#include "replay.h"

Suite *make_category_suite(void);

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}

static void tear_down(void)
{
    case_remove(&c);
}

/* What a program says of one iteration: bytes of its tensors. PyTorch's blocks are up to 1 MiB larger each. */
static const struct told {
    const char *name;
    int iteration;      /* as ingest counts them */
    int backwards;      /* in the run */
    int64_t parameters, gradients, state;
    int64_t unsharded; /* at the end of forward */
    double slack;      /* of gradients: what the blocks have to spare */
} told[] = {
    {"llama", 2, 6, 1017221120, 1017221120, 2034442240, 0, 0.002},
    {"llama_fsdp2", 2, 8, 508610816, 508610560, 1017221120, 131074048, 0.003},
    {"ddp_view", 2, 8, 539985920, 539977728, 1079955456, 0, 0.001},
    {"zero_grad_false", 2, 6, 426579968, 426571776, 853143552, 0, 0.015},
    {"keep_outputs", 2, 8, 369876992, 369868800, 739737600, 0, 0.003},
    {"gan", 5, 16, 97674584, 97643280, 195286560, 0, 0.001},
};

static void near(const char *what, int64_t ours, int64_t truth, double slack)
{
    ck_assert_msg(ours >= truth && (double)ours <= (double)truth * (1 + slack), "%s: %lld, the program says %lld", what,
                  (long long)ours, (long long)truth);
}

START_TEST(test_recorded_programs)
{
    const struct told *t = &told[_i];
    char path[400];
    struct vs_log_writer *w = case_writer(&c, 0);
    snprintf(path, sizeof path, VS_SOURCE_DIR "/tests/fixtures/%s.csv.gz", t->name);
    vs_replay(w, path);
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward'", t->backwards);
    near("parameters", category_at_end(c.db, "backward", t->iteration, "parameter"), t->parameters, 0.0025);
    near("gradients", category_at_end(c.db, "backward", t->iteration, "gradient"), t->gradients, t->slack);
    near("optimizer state", category_at_end(c.db, "backward", t->iteration, "optimizer_state"), t->state, 0.009);
    near("unsharded parameters", category_at_end(c.db, "forward", t->iteration, "unsharded_parameter"), t->unsharded, 0);
    ck_sql(c.db, "SELECT 100 * (SELECT COALESCE(SUM(bytes), 0) FROM breakdown_at_peak WHERE category = 'unknown') >"
                 " 3 * (SELECT SUM(bytes) FROM breakdown_at_peak)", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    category_sums_are_exact(c.db);
}
END_TEST

/* The run whose truth is a table: live bytes after each phase, and the workspaces. */
START_TEST(test_llama_to_the_byte)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_replay(w, VS_SOURCE_DIR "/tests/fixtures/llama.csv.gz");
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) BETWEEN 4138124800 AND 4138124800 + 512", 5);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'forward' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) BETWEEN 7355508736 AND 7355508736 + 512", 5);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'optimizer' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) = 3120903680", 5);
    ck_sql(c.db, "SELECT MAX(peak_bytes) FROM iteration_memory", 8404051968);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'workspace'", 2 * 33554432);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE origin <> 'inferred'", 0);
}
END_TEST

Suite *make_category_suite(void)
{
    Suite *s = suite_create("category");
    TCase *t = tcase_create("recorded");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_recorded_programs, 0, (int)(sizeof told / sizeof *told));
    tcase_add_test(t, test_llama_to_the_byte);
    suite_add_tcase(s, t);
    return s;
}
