/* SPDX-License-Identifier: MIT
 *
 * test_shard.c: weights over ranks: what several ranks compute on their parts of a batch is what one computes on all of it. Ranks are
 * processes over shared memory. It judges no time.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording.h"
#include "trainer_case.h"
#include "workloads/shard.h"
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

Suite *make_shard_suite(void)
{
    Suite *s = suite_create("shard");
    TCase *c = tcase_create("shard");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_lm, 0, MODES);
    tcase_add_loop_test(c, test_llama, 0, MODES);
    tcase_add_loop_test(c, test_one_sample, 0, 2);
    tcase_add_loop_test(c, test_timings, 1, VS_TIMING_COUNT);
    suite_add_tcase(s, c);
    return s;
}
