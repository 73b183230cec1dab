/* SPDX-License-Identifier: MIT
 *
 * test_nccl.c: NCCL, from programs/nccl_oracle.c through a stand-in with weak and strong names, and from
 * programs/nccl_real.c through NVIDIA's own library, which answers without a GPU: exact calls, groups, communicators,
 * memory labels; results and errno untouched (the programs check); NCCL's NVTX payloads only where nothing else tells.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_reader.h"
#include "recording.h"

Suite *make_nccl_suite(void);

static struct recording r;
static struct log *l;

static void run(const char *name, const char *const argv[], const char *const env[])
{
    recording_begin(&r, name);
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    ck_assert_str_eq(r.err, "");
    l = log_open(r.run);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->damaged, 0);
}

static void oracle(const char *mode, const char *env)
{
    const char *argv[] = {"nccl_oracle", mode, NULL}, *const envs[] = {env, NULL};
    char name[64];
    snprintf(name, sizeof name, "nccl_%s", mode);
    run(name, argv, env ? envs : NULL);
}

static void done(void)
{
    log_close(l);
    recording_end(&r);
}

static const struct vs_rec_coll_begin *call(size_t n)
{
    const struct vs_rec_coll_begin *b = log_nth(l, VS_K_COLL_BEGIN, n);
    ck_assert_ptr_nonnull(b);
    return b;
}

static const struct vs_rec_comm *comm(size_t n)
{
    const struct vs_rec_comm *c = log_nth(l, VS_K_COMM, n);
    ck_assert_ptr_nonnull(c);
    return c;
}

static const struct vs_rec_coll_end *end_of(uint64_t id)
{
    size_t i, n = log_count(l, VS_K_COLL_END);
    for (i = 0; i < n; i++) {
        const struct vs_rec_coll_end *e = log_nth(l, VS_K_COLL_END, i);
        if (e->id == id)
            return e;
    }
    return NULL;
}

START_TEST(test_each_collective_once)
{
    static const struct {
        uint32_t op;
        uint64_t count, bytes;
        int dtype, redop, peer;
    } expected[11] = {
        {VS_COLL_ALL_REDUCE, 100, 400, 7, 0, -1}, {VS_COLL_ALL_GATHER, 10, 20, 6, -1, -1},
        {VS_COLL_REDUCE_SCATTER, 3, 24, 8, 4, -1}, {VS_COLL_BROADCAST, 5, 5, 0, -1, 1},
        {VS_COLL_BROADCAST, 6, 6, 1, -1, 2},       {VS_COLL_REDUCE, 7, 14, 9, 2, 3},
        {VS_COLL_ALL_TO_ALL, 8, 64, 4, -1, -1},    {VS_COLL_GATHER, 9, 72, 5, -1, 0},
        {VS_COLL_SCATTER, 11, 11, 10, -1, 1},      {VS_COLL_SEND, 12, 48, 2, -1, 1},
        {VS_COLL_RECV, 13, 52, 3, -1, 0},
    };
    size_t i;
    oracle("calls", NULL);
    ck_assert_uint_eq(log_count(l, VS_K_COLL_BEGIN), 16); /* 11 alone, 3 and 2 in groups; Bcast's inner call is none */
    for (i = 0; i < 11; i++) {
        const struct vs_rec_coll_begin *b = call(i);
        const struct vs_rec_coll_end *e = end_of(b->id);
        ck_assert_uint_eq(b->op, expected[i].op);
        ck_assert_uint_eq(b->count, expected[i].count);
        ck_assert_uint_eq(b->bytes, expected[i].bytes);
        ck_assert_int_eq(b->dtype, expected[i].dtype);
        ck_assert_int_eq(b->redop, expected[i].redop);
        ck_assert_int_eq(b->peer, expected[i].peer);
        ck_assert_uint_eq(b->stream, 0x5151);
        ck_assert_uint_eq(b->comm, comm(0)->comm);
        ck_assert_int_eq(b->h.device, 1);
        ck_assert_uint_eq(b->group, 0);
        ck_assert_uint_eq(b->send_address == 0, b->op == VS_COLL_RECV);
        ck_assert_uint_eq(b->recv_address == 0, b->op == VS_COLL_SEND);
        ck_assert_ptr_nonnull(e);
        ck_assert_int_eq(e->result, 0);
        ck_assert_uint_ge(e->ts_ns, b->ts_ns);
    }
    ck_assert_str_eq(log_meta(l, "nccl_version"), "2.28.9");
    done();
}
END_TEST

START_TEST(test_groups)
{
    const struct vs_rec_coll_end *e;
    oracle("calls", NULL);
    ck_assert_uint_ne(call(11)->group, 0);
    ck_assert_uint_eq(call(12)->group, call(11)->group); /* nested: the outermost counts */
    ck_assert_uint_eq(call(13)->group, call(11)->group);
    ck_assert_uint_ne(call(14)->group, call(11)->group);
    ck_assert_uint_eq(call(15)->group, call(14)->group);
    ck_assert_uint_eq(call(15)->bytes, 0); /* a type of the future: counted */
    ck_assert_uint_eq(log_lost(l, VS_SRC_NCCL, VS_LOST_UNKNOWN), 1);
    ck_assert_uint_eq(log_count(l, VS_K_COLL_END), 11 + 2); /* the calls alone, two groups; the empty one leaves none */
    e = end_of(call(11)->group);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->h.flags, 1);
    ck_assert_uint_ge(e->ts_ns, call(13)->ts_ns);
    done();
}
END_TEST

START_TEST(test_communicators)
{
    size_t i;
    oracle("calls", NULL);
    ck_assert_uint_eq(log_count(l, VS_K_COMM), 5 + 7);
    for (i = 0; i < 3; i++) {
        ck_assert_uint_eq(comm(i)->h.flags, VS_COMM_CREATE);
        ck_assert_int_eq(comm(i)->nranks, 4);
        ck_assert_int_eq(comm(i)->rank, (int)i + 1);
        ck_assert_int_eq(comm(i)->h.device, (int)i + 1);
        ck_assert_uint_eq(comm(i)->id_hash, comm(0)->id_hash); /* one id: one communicator's ranks */
        ck_assert_uint_ne(comm(i)->id_hash, 0);
    }
    ck_assert_uint_eq(comm(3)->h.flags, VS_COMM_SPLIT);
    ck_assert_uint_eq(comm(3)->parent, comm(0)->comm);
    ck_assert_int_eq(comm(3)->nranks, 2);
    ck_assert_int_eq(comm(3)->color, 0);
    ck_assert_uint_ne(comm(3)->id_hash, 0);
    ck_assert_uint_ne(comm(3)->id_hash, comm(0)->id_hash);
    ck_assert_uint_eq(comm(4)->h.flags, VS_COMM_SPLIT); /* shrink; the split without a colour made none */
    ck_assert_int_eq(comm(4)->nranks, 3);
    ck_assert_uint_eq(comm(5)->h.flags, VS_COMM_REVOKE);
    ck_assert_uint_eq(comm(6)->h.flags, VS_COMM_FINALIZE);
    ck_assert_uint_eq(comm(7)->h.flags, VS_COMM_DESTROY);
    ck_assert_uint_eq(comm(7)->comm, comm(0)->comm);
    ck_assert_uint_eq(comm(8)->h.flags, VS_COMM_ABORT);
    done();
}
END_TEST

START_TEST(test_memory_labels)
{
    static const uint8_t kinds[6] = {VS_NL_ALLOC, VS_NL_REGISTER, VS_NL_REGISTER, VS_NL_DEREGISTER, VS_NL_DEREGISTER, VS_NL_FREE};
    const struct vs_rec_nccl_label *first;
    size_t i;
    oracle("calls", NULL);
    ck_assert_uint_eq(log_count(l, VS_K_NCCL_LABEL), 6);
    first = log_nth(l, VS_K_NCCL_LABEL, 0);
    ck_assert_uint_eq(first->bytes, 8192);
    for (i = 0; i < 6; i++) {
        const struct vs_rec_nccl_label *n = log_nth(l, VS_K_NCCL_LABEL, i);
        ck_assert_uint_eq(n->h.flags, kinds[i]);
        ck_assert_uint_eq(n->address, first->address); /* a deregistration finds its buffer by the handle */
    }
    done();
}
END_TEST

START_TEST(test_init_all_and_split_in_group)
{
    size_t i;
    oracle("all", NULL);
    ck_assert_uint_eq(log_count(l, VS_K_COMM), 5);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(comm(i)->rank, (int)i);
        ck_assert_int_eq(comm(i)->h.device, 3 - (int)i);
        ck_assert_uint_eq(comm(i)->id_hash, comm(0)->id_hash);
        ck_assert_int_eq(call(i)->h.device, 3 - (int)i);
    }
    ck_assert_uint_eq(comm(4)->h.flags, VS_COMM_SPLIT);
    ck_assert_int_eq(comm(4)->nranks, 2); /* asked after the group, when it is made */
    done();
}
END_TEST

START_TEST(test_errors_are_recorded)
{
    oracle("fail", "FAKE_NCCL_FAIL=AllReduce:5");
    ck_assert_int_eq(end_of(call(0)->id)->result, 5);
    done();
}
END_TEST

START_TEST(test_non_blocking_is_not_asked)
{
    oracle("progress", "FAKE_NCCL_IN_PROGRESS=1"); /* the stand-in aborts when asked too early */
    ck_assert_uint_eq(log_count(l, VS_K_COMM), 2);
    ck_assert_int_eq(comm(0)->result, 7);
    ck_assert_int_eq(comm(0)->nranks, 2);
    ck_assert_int_eq(comm(0)->rank, 1);
    ck_assert_int_eq(comm(0)->h.device, -1);
    ck_assert_int_eq(comm(1)->nranks, -1);
    done();
}
END_TEST

START_TEST(test_threads)
{
    const char *argv[] = {"nccl_oracle", "threads", "8", "200", NULL};
    uint64_t lost;
    run("nccl_threads", argv, NULL);
    lost = log_lost(l, VS_SRC_NCCL, VS_LOST_POOL_EMPTY);
    ck_assert_uint_eq(log_count(l, VS_K_COLL_BEGIN) + log_count(l, VS_K_COLL_END) + log_count(l, VS_K_COMM) + lost,
                      8 * 200 * 3 + 1);
    done();
}
END_TEST

START_TEST(test_looking_at_the_version_wakes_nobody)
{
    const char *argv[] = {"nccl_oracle", "none", NULL};
    recording_begin(&r, "nccl_none");
    recording_run(&r, argv, NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_ne(access(r.run, F_OK), 0);
    recording_end(&r);
}
END_TEST

START_TEST(test_nccl_inside_another_library)
{
    const char *argv[] = {"nccl_static", NULL};
    run("nccl_static", argv, NULL);
    ck_assert_uint_eq(log_count(l, VS_K_COLL_BEGIN), 1);
    ck_assert_uint_eq(log_count(l, VS_K_COMM), 1);
    ck_assert_int_eq(comm(0)->h.device, 1); /* what we ask ourselves is found there too */
    ck_assert_str_eq(log_meta(l, "nccl_version"), "2.28.9");
    done();
}
END_TEST

/* ---- NVIDIA's library ---- */

static const char *real_nccl(void)
{
    static const char *const at[] = {"/usr/local/cuda/lib/libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2",
                                     "/usr/lib/x86_64-linux-gnu/libnccl.so.2", VS_BUILD_DIR "/cuda/lib/libnccl.so.2"};
    size_t i;
    for (i = 0; i < sizeof at / sizeof *at; i++)
        if (!access(at[i], R_OK))
            return at[i];
    fprintf(stderr, "nccl: NVIDIA's library not found, skipped\n");
    return NULL;
}

START_TEST(test_real_library_linked)
{
    const char *lib = real_nccl(), *argv[] = {"nccl_real", "linked", NULL}, *env[2] = {0};
    char folder[512];
    size_t i;
    if (!lib)
        return;
    snprintf(folder, sizeof folder, "LD_LIBRARY_PATH=%.*s", (int)(strrchr(lib, '/') - lib), lib);
    env[0] = folder;
    run("nccl_real_linked", argv, env);
    ck_assert_str_eq(r.out, "4 4 4 4\n"); /* ncclInvalidArgument */
    ck_assert_uint_eq(log_count(l, VS_K_COLL_BEGIN), 4);
    for (i = 0; i < 4; i++)
        ck_assert_uint_eq(call(i)->h.flags, 0);
    ck_assert_int_eq(end_of(call(0)->id)->result, 4);
    ck_assert_uint_eq(log_count(l, VS_K_RANGE_BEGIN), 0); /* its own ranges are not the program's */
    ck_assert_uint_eq(log_count(l, VS_K_NVTX_NAME), 0);
    ck_assert_uint_eq(log_count(l, VS_K_STRING), 0);
    ck_assert_str_ne(log_meta(l, "nccl_version"), "");
    done();
}
END_TEST

START_TEST(test_real_library_tells_by_nvtx)
{
    static const struct {
        uint32_t op;
        uint64_t bytes;
        int redop, peer;
    } expected[4] = {{VS_COLL_ALL_REDUCE, 40, 2, -1}, {VS_COLL_ALL_GATHER, 22, -1, -1}, {VS_COLL_REDUCE, 96, 3, 5}, {VS_COLL_SEND, 52, -1, 6}};
    const char *lib = real_nccl(), *argv[] = {"nccl_real", "opened", lib, NULL};
    size_t i;
    if (!lib)
        return;
    run("nccl_real_opened", argv, NULL);
    ck_assert_str_eq(r.out, "4 4 4 4\n");
    ck_assert_uint_eq(log_count(l, VS_K_COLL_BEGIN), 4);
    ck_assert_uint_eq(log_count(l, VS_K_COLL_END), 4);
    for (i = 0; i < 4; i++) {
        ck_assert_uint_eq(call(i)->h.flags, VS_CF_FROM_NVTX);
        ck_assert_uint_eq(call(i)->op, expected[i].op);
        ck_assert_uint_eq(call(i)->bytes, expected[i].bytes);
        ck_assert_int_eq(call(i)->redop, expected[i].redop);
        ck_assert_int_eq(call(i)->peer, expected[i].peer);
        ck_assert_int_eq(end_of(call(i)->id)->result, -1);
    }
    ck_assert_uint_eq(log_count(l, VS_K_RANGE_BEGIN), 0);
    done();
}
END_TEST

/* ---- the rest ---- */

START_TEST(test_abi_is_nvidias)
{
    const char *argv[] = {"nccl_abi", NULL};
    recording_begin(&r, "nccl_abi");
    recording_run(&r, argv, NULL);
    ck_assert(WIFEXITED(r.status) && (WEXITSTATUS(r.status) == 0 || WEXITSTATUS(r.status) == 77));
    recording_end(&r);
}
END_TEST

START_TEST(test_every_hook_is_exported)
{
    static const char *const hooks[] = {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) "nccl" #name,
#define CALL(name, params) "nccl" #name,
#define PASS(name, params, args) "nccl" #name,
#include "profiler/nccl_hooks.def"
    };
    char map[65536], line[128];
    FILE *f = fopen(VS_SOURCE_DIR "/profiler/exports.map", "r");
    size_t i, n, listed = 0;
    char *p;
    ck_assert_ptr_nonnull(f);
    n = fread(map, 1, sizeof map - 1, f);
    fclose(f);
    map[n] = 0;
    for (i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        snprintf(line, sizeof line, " %s;", hooks[i]);
        ck_assert_msg(strstr(map, line) != NULL, "%s is not in exports.map", hooks[i]);
    }
    for (p = map; (p = strstr(p, " nccl")); p++)
        listed += p[5] >= 'A' && p[5] <= 'Z';
    ck_assert_uint_eq(listed, sizeof hooks / sizeof *hooks);
}
END_TEST

START_TEST(test_database_has_collectives)
{
    oracle("calls", NULL);
    recording_ingest(&r);
    recording_check(&r, 1); /* the type of the future */
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM collective"), 16);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) FROM collective"), 716 + 4);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM collective WHERE end_ns IS NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT group_id) FROM collective"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM communicator"), 5);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM communicator WHERE ended IS NULL"), 0);
    ck_assert_str_eq(recording_text(&r, "SELECT nccl_version FROM process"), "2.28.9");
    done();
}
END_TEST

Suite *make_nccl_suite(void)
{
    Suite *s = suite_create("nccl");
    TCase *log = tcase_create("nccl_log"), *database = tcase_create("nccl_database");
    tcase_set_timeout(log, 60);
    tcase_set_timeout(database, 60);
    tcase_add_test(log, test_abi_is_nvidias);
    tcase_add_test(log, test_every_hook_is_exported);
    tcase_add_test(log, test_each_collective_once);
    tcase_add_test(log, test_groups);
    tcase_add_test(log, test_communicators);
    tcase_add_test(log, test_memory_labels);
    tcase_add_test(log, test_init_all_and_split_in_group);
    tcase_add_test(log, test_errors_are_recorded);
    tcase_add_test(log, test_non_blocking_is_not_asked);
    tcase_add_test(log, test_threads);
    tcase_add_test(log, test_looking_at_the_version_wakes_nobody);
    tcase_add_test(log, test_nccl_inside_another_library);
    tcase_add_test(log, test_real_library_linked);
    tcase_add_test(log, test_real_library_tells_by_nvtx);
    tcase_add_test(database, test_database_has_collectives);
    suite_add_tcase(s, log);
    suite_add_tcase(s, database);
    return s;
}
