/* SPDX-License-Identifier: MIT
 *
 * test_shard.c: weights over ranks: what several ranks compute on their parts of a batch is what one computes on all of it. Ranks are
 * processes over shared memory. It judges no time.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording.h"
#include "trainer_case.h"
#include "workloads/shard.h"
#include "workloads/team.h"
#include "workloads/train_copy.h"

Suite *make_shard_suite(void);

enum { RANKS = 4, STEPS = 3, SAMPLES = 12 }; /* SAMPLES: over all ranks; a whole number each for 1, 2, 3 and 4 */

/* What a rank found, in memory that all share. */
struct found {
    int err;
    double norm[SAMPLES];
    double gradient_off, gradient, weight_off, weight; /* squares */
    size_t ops;
};

static struct found *found;
static struct vs_train_copy gradients, weights; /* of one rank with all samples, in memory that all share */
static double *norms;

static struct vs_train_settings settings_of(const struct vs_train_model *model, enum vs_train_mode mode, size_t world)
{
    struct vs_train_settings s = trainer_settings(model, mode, VS_TRAIN_fp32);
    s.model.B = SAMPLES / world;
    s.bound = 0.9; /* between the norms of the samples */
    s.noise = 0.5;
    return s;
}

static int steps(struct vs_trainer *t, struct vs_train_copy *first_gradient, double *norm)
{
    double loss;
    int err = 0;
    for (uint64_t i = 0; !err && i < STEPS; i++) {
        t->observe = i ? NULL : vs_train_copy_gradient;
        t->observer = first_gradient;
        err = vs_trainer_load(t, i);
        if (!err) err = vs_trainer_step(t);
        if (!err) err = vs_trainer_read(t, &loss, i ? NULL : norm, NULL);
    }
    return err;
}

static int run(const struct vs_train_settings *s, struct vs_train_copy *gradient, struct vs_train_copy *weight, double *norm, size_t *ops)
{
    const struct vs_device *cpu = vs_device_cpu();
    struct vs_trainer t = {0};
    void *context = NULL;
    int err = cpu->open(&context);
    if (!err) err = vs_trainer_plan(&t, s, cpu, context);
    if (!err) err = vs_trainer_open(&t);
    if (!err) err = vs_train_copy_open(gradient, &t);
    if (!err) err = vs_train_copy_open(weight, &t);
    if (!err) err = steps(&t, gradient, norm);
    if (!err) err = vs_train_copy_weights(weight, &t);
    vs_shard_schedule(&t, ops);
    vs_trainer_close(&t);
    cpu->close(context);
    return err;
}

/* Ranks share the cores: more threads than these would wait for each other. */
extern void omp_set_num_threads(int) __attribute__((weak));
static void one_thread(void)
{
    if (omp_set_num_threads) omp_set_num_threads(1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
}

static int be_rank(const struct vs_comm_id ids[2], const struct vs_train_settings *whole, size_t rank, size_t world)
{
    const struct vs_comm *comm = vs_device_cpu()->comm;
    struct vs_shard_ranks ranks = {.rank = rank, .world = world};
    struct vs_train_settings s = *whole;
    struct vs_train_copy gradient = {0}, weight = {0};
    struct found *mine = &found[rank];
    int err = comm->open(&ids[0], (int)rank, (int)world, "gather", &ranks.gather);
    if (!err) err = comm->open(&ids[1], (int)rank, (int)world, "reduce", &ranks.reduce);
    s.ranks = &ranks;
    if (!err) err = run(&s, &gradient, &weight, mine->norm, &mine->ops);
    if (!err) vs_train_copy_squares(&gradient, &gradients, &mine->gradient_off, &mine->gradient);
    if (!err) vs_train_copy_squares(&weight, &weights, &mine->weight_off, &mine->weight);
    vs_train_copy_free(&gradient);
    vs_train_copy_free(&weight);
    comm->close(ranks.gather);
    comm->close(ranks.reduce);
    return err;
}

static void run_ranks(const struct vs_train_settings *s, size_t world)
{
    struct vs_comm_id ids[2];
    pid_t child[RANKS];
    memset(found, 0, RANKS * sizeof *found);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(vs_device_cpu()->comm->make_id(&ids[i]), 0);
    for (size_t r = 0; r < world; r++) {
        child[r] = fork();
        if (!child[r]) {
            one_thread();
            found[r].err = be_rank(ids, s, r, world);
            _exit(0);
        }
    }
    for (size_t r = 0; r < world; r++) {
        int status;
        ck_assert_int_eq(waitpid(child[r], &status, 0), child[r]);
        ck_assert_msg(status == 0 && !found[r].err, "rank %zu of %zu: status %d, error %d", r, world, status, found[r].err);
    }
}

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static void share_copy(struct vs_train_copy *to, const struct vs_train_copy *from)
{
    memcpy(to->data, from->data, from->bytes);
    memcpy(to->owned, from->owned, from->bytes / from->element);
}

/* The reference of a mode and a model: one rank, all samples. In a process of its own: one that has had threads must not fork. */
static void reference(const struct vs_train_model *model, enum vs_train_mode mode, size_t B)
{
    struct vs_train_settings s = settings_of(model, mode, 1);
    struct vs_train_layout layout;
    int status;
    s.model.B = B;
    vs_train_layout(&s.model, &layout);
    for (int i = 0; i < 2; i++) {
        struct vs_train_copy *c = i ? &weights : &gradients;
        *c = (struct vs_train_copy){.element = sizeof(float), .bytes = layout.parameters * sizeof(float)};
        c->data = shared(c->bytes);
        c->owned = shared(layout.parameters);
    }
    if (!fork()) {
        struct vs_train_copy gradient = {0}, weight = {0};
        size_t ops = 1;
        one_thread();
        int err = run(&s, &gradient, &weight, norms, &ops);
        if (!err) share_copy(&gradients, &gradient);
        if (!err) share_copy(&weights, &weight);
        _exit(err || ops);
    }
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(status, 0);
}

static void compare(const struct vs_train_settings *s, size_t world)
{
    double off = 0, length = 0, weight_off = 0, weight = 0;
    for (size_t r = 0; r < world; r++) {
        off += found[r].gradient_off;
        length += found[r].gradient;
        weight_off += found[r].weight_off;
        weight += found[r].weight;
        ck_assert_uint_eq(found[r].ops, found[0].ops);
        for (size_t b = 0; b < s->model.B && s->mode != VS_MODE_vanilla; b++)
            ck_assert_msg(fabs(found[r].norm[b] - norms[r * s->model.B + b]) <= 1e-5 * norms[r * s->model.B + b],
                          "norm of sample %zu on rank %zu: %.9g, alone %.9g", b, r, found[r].norm[b], norms[r * s->model.B + b]);
    }
    ck_assert_uint_gt(found[0].ops, 0);
    ck_assert_double_gt(length, 0);
    ck_assert_msg(fabs(length - vs_train_copy_length(&gradients) * vs_train_copy_length(&gradients)) <= 1e-9 * length,
                  "the ranks together do not have all weights once");
    ck_assert_msg(sqrt(off / length) <= 1e-5, "gradients differ by %.3g", sqrt(off / length));
    ck_assert_msg(sqrt(weight_off / weight) <= 1e-5, "weights differ by %.3g", sqrt(weight_off / weight));
}

static void begin(void)
{
    found = shared(RANKS * sizeof *found);
    norms = shared(SAMPLES * sizeof *norms);
}

static void each_world(const struct vs_train_model *model, enum vs_train_mode mode, enum vs_train_timing timing)
{
    if (!recording_forks_make_sense()) return;
    begin();
    reference(model, mode, SAMPLES);
    for (size_t world = 1; world <= RANKS; world++) {
        struct vs_train_settings s = settings_of(model, mode, world);
        s.timing = timing;
        run_ranks(&s, world);
        compare(&s, world);
    }
}

static const enum vs_train_mode modes[] = {VS_MODE_vanilla,  VS_MODE_explicit, VS_MODE_ghost, VS_MODE_flash,
                                           VS_MODE_ghost_bk, VS_MODE_flash_bk, VS_MODE_micro};
enum { MODES = sizeof modes / sizeof *modes };

START_TEST(test_lm)
{
    each_world(&trainer_lm, modes[_i], VS_TIMING_usual);
}
END_TEST

START_TEST(test_llama)
{
    each_world(&trainer_llama, modes[_i], VS_TIMING_usual);
}
END_TEST

/* One sample on each rank: its coefficient goes into the sum over ranks. */
START_TEST(test_one_sample)
{
    if (!recording_forks_make_sense()) return;
    for (size_t world = 1; world <= RANKS; world++) {
        const struct vs_train_model *model = _i ? &trainer_llama : &trainer_lm;
        struct vs_train_settings s = settings_of(model, VS_MODE_fuse, SAMPLES);
        begin();
        reference(model, VS_MODE_explicit, world);
        run_ranks(&s, world);
        compare(&s, world);
    }
}
END_TEST

START_TEST(test_timings)
{
    each_world(&trainer_lm, VS_MODE_ghost, (enum vs_train_timing)_i);
    each_world(&trainer_llama, VS_MODE_flash_bk, (enum vs_train_timing)_i);
}
END_TEST

/* ---- the schedule ---- */

static void plan(struct vs_trainer *t, struct vs_shard_ranks *ranks, const struct vs_train_model *model, enum vs_train_mode mode, void **context)
{
    struct vs_train_settings s = trainer_settings(model, mode, VS_TRAIN_fp32);
    s.ranks = ranks;
    ck_assert_int_eq(vs_device_cpu()->open(context), 0);
    ck_assert_int_eq(vs_trainer_plan(t, &s, vs_device_cpu(), *context), 0);
}

/* How often each kind of collective is there, and the place of the first reduction. */
static size_t count_ops(const struct vs_trainer *t, enum vs_shard_kind kind, size_t unit)
{
    size_t count, n = 0;
    const struct vs_shard_op *op = vs_shard_schedule(t, &count);
    for (size_t i = 0; i < count; i++) n += op[i].kind == kind && op[i].unit == unit;
    return n;
}

START_TEST(test_schedule)
{
    struct vs_train_model deep = trainer_lm;
    struct vs_shard_ranks ranks = {.rank = 1, .world = 4};
    struct vs_trainer t;
    void *context;
    size_t count;
    deep.L = 8;
    plan(&t, &ranks, &deep, _i ? VS_MODE_ghost : VS_MODE_ghost_bk, &context);
    const struct vs_shard_op *op = vs_shard_schedule(&t, &count);
    const size_t L = deep.L, passes = _i ? 2 : 1;
    /* forward: every unit once, in order; backward: the blocks again, but the last ones, which were kept; the table once for all */
    for (size_t u = 0; u < L + 2; u++) ck_assert_uint_eq(op[u].unit, u);
    ck_assert_str_eq(op[1].what, "all_gather block00");
    ck_assert_uint_eq(count_ops(&t, VS_SHARD_GATHER, 0), 1);
    ck_assert_uint_eq(count_ops(&t, VS_SHARD_GATHER, 2), 1 + passes);
    ck_assert_uint_eq(count_ops(&t, VS_SHARD_GATHER, L), passes);
    for (size_t u = 0; u < L + 2; u++) ck_assert_uint_eq(count_ops(&t, VS_SHARD_REDUCE, u), 1);
    ck_assert_int_eq(op[count - 1].kind, VS_SHARD_REDUCE);
    ck_assert_uint_eq(op[count - 1].unit, 0);
    /* a block's bytes on the wire are those of its weights, with little padding */
    const struct vs_train_unit *u = vs_train_unit_of(&t.layout, 1);
    ck_assert_uint_ge(op[1].bytes, u->exact * sizeof(float));
    ck_assert_uint_le(op[1].bytes, (u->exact + 2 * 64 * 4 + 6 * 64) * sizeof(float));
    vs_trainer_close(&t);
    vs_device_cpu()->close(context);
}
END_TEST

/* A rank owns its part of everything that lasts. */
START_TEST(test_memory_is_shared_out)
{
    struct vs_train_model deep = trainer_lm;
    size_t bytes[2];
    deep.L = 16;
    deep.B = 1;
    for (int i = 0; i < 2; i++) {
        struct vs_shard_ranks ranks = {.world = i ? 8 : 1};
        struct vs_trainer t;
        void *context;
        plan(&t, &ranks, &deep, VS_MODE_vanilla, &context);
        bytes[i] = t.arena.peak;
        vs_trainer_close(&t);
        vs_device_cpu()->close(context);
    }
    ck_assert_msg(bytes[1] * 2 < bytes[0], "1 rank %zu bytes, each of 8 %zu", bytes[0], bytes[1]);
}
END_TEST

/* A step that is not the one that was rehearsed ends before it asks the others for anything. */
START_TEST(test_another_step_is_refused)
{
    struct vs_shard_ranks ranks = {.world = 1};
    struct vs_trainer t;
    struct vs_comm_id id;
    void *context;
    struct vs_train_model longer = trainer_lm;
    longer.T = 160; /* book-keeping then has more room than the other step asks for */
    plan(&t, &ranks, &longer, VS_MODE_ghost_bk, &context);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(vs_device_cpu()->comm->make_id(&id), 0);
        ck_assert_int_eq(vs_device_cpu()->comm->open(&id, 0, 1, "", i ? &ranks.gather : &ranks.reduce), 0);
    }
    ck_assert_int_eq(vs_trainer_open(&t), 0);
    ck_assert_int_eq(vs_trainer_load(&t, 0), 0);
    ck_assert_int_eq(vs_trainer_step(&t), 0);
    t.plan.semantics = VS_TRAIN_micro; /* gathers for every sample */
    for (int i = 0; i < VS_TRAIN_MATRICES; i++) t.plan.action[i] = VS_DO_GRADIENT;
    ck_assert_int_eq(vs_trainer_step(&t), -EPROTO);
    vs_trainer_close(&t);
    vs_device_cpu()->comm->close(ranks.gather);
    vs_device_cpu()->comm->close(ranks.reduce);
    vs_device_cpu()->close(context);
}
END_TEST

static void disagree(int rank, int port)
{
    struct vs_shard_ranks ranks = {.rank = (size_t)rank, .world = 2};
    struct vs_team_settings s = {.place = {.rank = rank, .world = 2, .address = "127.0.0.1", .port = port, .launcher = "none"},
                                 .timeout_ms = 20000,
                                 .fingerprint = "same"};
    struct vs_trainer t;
    void *context;
    char why[256];
    one_thread();
    if (vs_team_open(&ranks.team, &s)) _exit(1);
    struct vs_train_settings settings = trainer_settings(&trainer_lm, rank ? VS_MODE_micro : VS_MODE_vanilla, VS_TRAIN_fp32);
    settings.ranks = &ranks;
    if (vs_device_cpu()->open(&context) || vs_trainer_plan(&t, &settings, vs_device_cpu(), context)) _exit(2);
    if (vs_shard_agree(&t, why, sizeof why) != -EPROTO || !strstr(why, "on rank 1, ") || !strstr(why, "on rank 0")) _exit(3);
    vs_team_close(ranks.team);
    _exit(0);
}

START_TEST(test_schedules_that_differ)
{
    pid_t child[2];
    int status, port = 20000 + (int)(getpid() % 10000);
    if (!recording_forks_make_sense()) return;
    for (int r = 0; r < 2; r++) {
        child[r] = fork();
        if (!child[r]) disagree(r, port);
    }
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(waitpid(child[r], &status, 0), child[r]);
        ck_assert_int_eq(status, 0);
    }
}
END_TEST

Suite *make_shard_suite(void)
{
    Suite *s = suite_create("shard");
    TCase *c = tcase_create("shard");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_lm, 0, MODES);
    tcase_add_loop_test(c, test_llama, 0, MODES);
    tcase_add_loop_test(c, test_one_sample, 0, 2);
    tcase_add_loop_test(c, test_timings, 1, VS_TIMING_COUNT);
    tcase_add_loop_test(c, test_schedule, 0, 2);
    tcase_add_test(c, test_memory_is_shared_out);
    tcase_add_test(c, test_another_step_is_refused);
    tcase_add_test(c, test_schedules_that_differ);
    suite_add_tcase(s, c);
    return s;
}
