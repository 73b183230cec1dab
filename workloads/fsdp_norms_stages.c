/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_stages.c: norms of shards by tensor: their worked example, and their stages measured on random squares that every rank can make
 * for every other, so that the result is known without a collective.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/fsdp_norms.h"
#include "workloads/train_result.h"

/* ---- the worked example: two samples, of each 12 columns of a gradient ---- */

enum { SAMPLES = 2, WIDTH = 12 };
static const float gradient[SAMPLES][WIDTH] = {{1, 2, 3, 4, 5, 6, 2, 1, 4, 2, 3, 1},
                                               {0.5F, 1, 1.5F, 2, 2.5F, 3, 1, 0.5F, 2, 1, 1.5F, 0.5F}};
static const double example_square[SAMPLES] = {126, 31.5};

/* Squares of this rank's columns, where the stages read them. */
static int square_columns(struct vs_fsdp_job *job, struct vs_stages *s)
{
    const struct vs_device *device = job->device;
    const struct vs_train_on on = {.dtype = VS_TRAIN_fp32, .context = job->context};
    size_t first = job->rank * WIDTH / job->world, count = (job->rank + 1) * WIDTH / job->world - first;
    float shard[SAMPLES][WIDTH];
    void *memory;
    if (!count) return device->clear(vs_stages_layer(s, 0), SAMPLES * sizeof(double));
    size_t workspace = device->train->square_sum_workspace_bytes(&on, SAMPLES, count);
    int err = device->alloc(sizeof shard + workspace, &memory);
    if (err) return err;
    for (size_t b = 0; b < SAMPLES; b++) memcpy(shard[b], gradient[b] + first, count * sizeof **shard);
    _Static_assert(sizeof shard % sizeof(double) == 0, "the workspace of sums begins behind the shard");
    err = device->upload(memory, shard, sizeof shard);
    if (!err)
        err = device->train->square_sum(&on, memory, SAMPLES, count, WIDTH, false, vs_stages_layer(s, 0),
                                        (char *)memory + sizeof shard);
    if (!err) err = device->wait(NULL);
    device->release(memory);
    return err;
}

static bool show_example(const struct vs_fsdp_job *job, const double *parts, const double *norm)
{
    bool right = true;
    for (size_t b = 0; b < SAMPLES; b++) right = right && fabs(norm[b] - sqrt(example_square[b])) <= 1e-6 * norm[b];
    if (job->rank) return right;
    printf(
        "\nworked example: two samples, %d columns dealt out to %zu rank%s, squared norms and their sum over ranks\n",
        WIDTH, job->world, job->world == 1 ? "" : "s");
    for (size_t r = 0; r < job->world; r++)
        printf("  rank %zu: %8.2f %8.2f\n", r, parts[r * SAMPLES], parts[r * SAMPLES + 1]);
    printf("  sum:    %8.2f %8.2f, norms %.3f %.3f, expected 11.225 5.612: %s\n", norm[0] * norm[0], norm[1] * norm[1],
           norm[0], norm[1], right ? "ok" : "WRONG");
    if (job->results)
        fprintf(job->results, ",\n \"example\": {\"sums\": [%.9g, %.9g], \"norms\": [%.9g, %.9g], \"right\": %s}",
                norm[0] * norm[0], norm[1] * norm[1], norm[0], norm[1], right ? "true" : "false");
    return right;
}

/* The all-reduce is a step of its own, for whoever watches. */
static int run_watched(struct vs_fsdp_job *job, struct vs_stages *s, struct vs_stage_times *times)
{
    uint64_t which = ++*job->ranks.shard.steps;
    vs_team_note(job->ranks.team, which, 0, "all_reduce norms");
    int err = vs_stages_run(s, times);
    if (!err) vs_team_done(job->ranks.team, which, 0);
    return err;
}

int vs_fsdp_example(struct vs_fsdp_job *job)
{
    struct vs_stages_settings settings = {
        job->device, job->context, job->ranks.shard.reduce, 1, SAMPLES, job->o->allreduce, 1};
    struct vs_stage_times times;
    struct vs_stages s = {0};
    double mine[SAMPLES], norm[SAMPLES], *parts = calloc(job->world, sizeof mine);
    double wrong = 1;
    int err = parts ? vs_stages_open(&s, &settings) : -ENOMEM;
    if (!err) err = square_columns(job, &s);
    if (!err) err = job->device->download(mine, vs_stages_layer(&s, 0), sizeof mine);
    if (!err) err = vs_team_gather(job->ranks.team, mine, sizeof mine, parts);
    if (!err) err = run_watched(job, &s, &times);
    if (!err) err = vs_stages_read(&s, norm, NULL);
    if (!err) wrong = show_example(job, parts, norm) ? 0 : 1;
    if (!err) err = vs_fsdp_largest(job, &wrong); /* of any rank */
    vs_fsdp_failed(job, err, "worked example");
    vs_stages_close(&s);
    free(parts);
    return err ? err : wrong > 0;
}

/* ---- measured ---- */

struct measured {
    struct vs_stage_times ms; /* medians */
    double one_ms;            /* one rank alone with everything; rank 0 knows */
};

struct stages {
    struct vs_fsdp_job *job;
    size_t layers, B;
    double *squares;         /* of all ranks: [world][layers][B] */
    double *expected, *norm; /* [B] */
    struct measured *rank;   /* [world] */
    double error;            /* largest, relative, of the finite norms; NaN: there are none */
    size_t lost;             /* norms that are not finite */
};

/* As many as the trainer has norms. */
static size_t count_layers(const struct vs_train_model *m)
{
    struct vs_train_layout layout;
    size_t count = 0;
    vs_train_layout(m, &layout);
    for (size_t u = 0; u < layout.units; u++)
        for (int i = 0; i < VS_TRAIN_TENSORS_COUNT; i++) count += vs_train_unit_of(&layout, u)->tensor[i].rows > 0;
    return count;
}

static double random_of(uint64_t seed, uint64_t i) /* in [0, 1), by splitmix64 */
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int make_squares(struct stages *w)
{
    const struct vs_fsdp_options *o = w->job->o;
    size_t world = w->job->world, layers = w->layers, B = w->B;
    w->squares = calloc(world * layers * B, sizeof *w->squares);
    w->expected = calloc(B, sizeof *w->expected);
    w->norm = calloc(B, sizeof *w->norm);
    w->rank = calloc(world, sizeof *w->rank);
    if (!w->squares || !w->expected || !w->norm || !w->rank) return -ENOMEM;
    double mean = o->norm_size * o->norm_size / (double)(world * layers);
    for (size_t i = 0; i < world * layers * B; i++) {
        w->squares[i] = 2 * mean * random_of(o->train.seed, i);
        w->expected[i % B] += w->squares[i];
    }
    for (size_t b = 0; b < B; b++) w->expected[b] = sqrt(w->expected[b]);
    return 0;
}

static void medians(const struct vs_stage_times *times, size_t count, double *column, struct vs_stage_times *out)
{
#define X(field, what)                                                                                                 \
    for (size_t i = 0; i < count; i++) column[i] = times[i].field;                                                     \
    out->field = vs_train_median(column, count);
    VS_STAGES(X)
#undef X
}

/* comm NULL: this rank alone. */
static int measure(struct stages *w, const struct vs_stages_settings *settings, const double *squares,
                   struct vs_stage_times *out)
{
    const struct vs_fsdp_options *o = w->job->o;
    struct vs_stage_times *times = calloc(o->iterations, sizeof *times), warm;
    double *column = calloc(o->iterations, sizeof *column);
    struct vs_stages s = {0};
    int err = times && column ? vs_stages_open(&s, settings) : -ENOMEM;
    if (!err) err = vs_stages_load(&s, squares);
    for (size_t i = 0; !err && i < o->warm_up + o->iterations; i++) {
        struct vs_stage_times *to = i < o->warm_up ? &warm : &times[i - o->warm_up];
        err = settings->comm ? run_watched(w->job, &s, to) : vs_stages_run(&s, to);
    }
    if (!err && settings->comm) err = vs_stages_read(&s, w->norm, NULL);
    if (!err) medians(times, o->iterations, column, out);
    vs_fsdp_failed(w->job, err, "norm stages");
    if (err && err != -ECANCELED) vs_ranks_fail(&w->job->ranks, w->job->why);
    vs_stages_close(&s);
    free(times);
    free(column);
    return err;
}

static int measure_both(struct stages *w)
{
    struct vs_fsdp_job *job = w->job;
    struct vs_stages_settings s = {
        job->device, job->context, job->ranks.shard.reduce, w->layers, w->B, job->o->allreduce, 1};
    struct vs_stage_times alone = {0};
    struct measured mine = {0};
    int err = measure(w, &s, w->squares + job->rank * w->layers * w->B, &mine.ms);
    if (err) return err;
    s.comm = NULL;
    s.layers *= job->world;
    if (job->rank == 0)
        err = measure(w, &s, w->squares, &alone); /* the others wait in the gather: nobody is in the way */
    mine.one_ms = alone.total;
    return err ? err
               : vs_fsdp_failed(job, vs_team_gather(job->ranks.team, &mine, sizeof mine, w->rank),
                                "exchange between ranks");
}

static void compare(struct stages *w)
{
    for (size_t b = 0; b < w->B; b++) {
        if (isfinite(w->norm[b])) w->error = vs_fsdp_worse(w->error, fabs(w->norm[b] - w->expected[b]) / w->expected[b]);
        else w->lost++;
    }
    if (w->lost == w->B) w->error = (double)NAN;
}

static double efficiency(const struct stages *w, double ms)
{
    return w->rank[0].one_ms / ((double)w->job->world * ms);
}

static double slowest(const struct stages *w)
{
    double ms = 0;
    for (size_t r = 0; r < w->job->world; r++) ms = fmax(ms, w->rank[r].ms.total);
    return ms;
}

static void show_times(const struct stages *w)
{
    const struct vs_fsdp_job *job = w->job;
    printf("%zu rank%s on %s: %zu layers x %zu samples of squares on each, all-reduce %s, medians of %zu\n", job->world,
           job->world == 1 ? "" : "s", job->device->kind, w->layers, w->B, vs_norm_allreduce_name(job->o->allreduce),
           job->o->iterations);
    for (size_t r = 0; r < job->world; r++) {
        printf("rank %zu:", r);
#define X(field, what) printf(" " what " %.4f ms,", w->rank[r].ms.field);
        VS_STAGES(X)
#undef X
        printf(" parallel efficiency %.3g %%\n", 100 * efficiency(w, w->rank[r].ms.total));
    }
    printf("parallel efficiency %.3g %%: one rank alone with the squares of all ranks %.4f ms, over %zu x %.4f ms of "
           "the slowest rank\n",
           100 * efficiency(w, slowest(w)), w->rank[0].one_ms, job->world, slowest(w));
    if (job->o->allreduce == VS_NORM_ALLREDUCE_async && !strcmp(job->device->kind, "cpu"))
        printf("on the CPU an all-reduce is over when its call returns: async is sync in two parts here\n");
}

static void show_norms(const struct stages *w, double most, bool right)
{
    printf("\n%6s %14s %14s %9s\n", "sample", "norm", "float64", "error");
    for (size_t b = 0; b < w->B; b++)
        printf("%6zu %14.7f %14.7f %9.1e%s\n", b, w->norm[b], w->expected[b],
               fabs(w->norm[b] - w->expected[b]) / w->expected[b], isfinite(w->norm[b]) ? "" : " OVERFLOW");
    if (w->lost)
        printf("%zu of %zu squared norms are beyond 65504, the largest number of fp16: their samples are left out of "
               "the sum; "
               "use --norm-allreduce sync\n",
               w->lost, w->B);
    printf("largest relative error%s %.1e, allowed %.0e: %s\n", w->lost ? " of the others" : "", w->error, most,
           right ? "ok" : "WRONG");
}

static void write_stages(const struct stages *w, FILE *f)
{
    fprintf(f, ",\n \"norm_allreduce\": \"%s\", \"layers\": %zu, \"overflows\": %zu",
            vs_norm_allreduce_name(w->job->o->allreduce), w->layers, w->lost);
    vs_fsdp_number(f, "error", w->error);
    vs_fsdp_number(f, "one_rank_ms", w->rank[0].one_ms);
    vs_fsdp_number(f, "parallel_efficiency", efficiency(w, slowest(w)));
    fprintf(f, ",\n \"ranks\": [");
    for (size_t r = 0; r < w->job->world; r++) {
        fprintf(f, "%s\n  {\"rank\": %zu", r ? "," : "", r);
#define X(field, what) vs_fsdp_number(f, #field "_ms", w->rank[r].ms.field);
        VS_STAGES(X)
#undef X
        vs_fsdp_number(f, "parallel_efficiency", efficiency(w, w->rank[r].ms.total));
        fprintf(f, "}");
    }
    fprintf(f, "]");
}

int vs_fsdp_stages(struct vs_fsdp_job *job)
{
    struct stages w = {.job = job, .layers = count_layers(&job->o->train.model), .B = job->o->train.model.B};
    double most = job->o->allreduce == VS_NORM_ALLREDUCE_fp16 ? 1e-2 : 1e-5;
    bool right = false;
    int err = vs_fsdp_failed(job, make_squares(&w), "memory for squares");
    if (!err) err = measure_both(&w);
    if (!err) {
        compare(&w);
        double wrong = !w.lost && w.error <= most ? 0 : 1;
        err = vs_fsdp_largest(job, &wrong); /* of any rank */
        right = !err && wrong == 0;
    }
    if (!err && job->rank == 0) {
        show_times(&w);
        show_norms(&w, most, right);
        if (job->results) write_stages(&w, job->results);
    }
    if (!err) {
        int example = vs_fsdp_example(job);
        if (example < 0) err = example;
        else right = right && !example;
    }
    free(w.squares);
    free(w.expected);
    free(w.norm);
    free(w.rank);
    return err ? err : !right;
}
