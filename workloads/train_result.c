/* SPDX-License-Identifier: MIT
 *
 * train_result.c: the results as JSON and as lines. It measures nothing.
 */
#include "workloads/train_result.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/memory.h"
#include "workloads/shard.h"

/* Text of a user's or a device's: bytes below 32, quotes and all that is not ASCII are escaped. */
static void text(FILE *f, const char *key, const char *value)
{
    fprintf(f, "\"%s\": \"", key);
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c < 0x20 || c > 0x7e) fprintf(f, "\\u%04x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

static void number(FILE *f, double v) /* JSON has no NaN */
{
    if (isfinite(v)) fprintf(f, "%.17g", v);
    else fprintf(f, "null");
}

static void named(FILE *f, const char *key, double v)
{
    fprintf(f, ", \"%s\": ", key);
    number(f, v);
}

static void numbers(FILE *f, const char *key, const double *v, size_t count)
{
    fprintf(f, ",\n \"%s\": [", key);
    for (size_t i = 0; i < count; i++) {
        if (i) fprintf(f, ", ");
        number(f, v[i]);
    }
    fprintf(f, "]");
}

double vs_train_average(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return sum / (double)count;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double vs_train_median(const double *values, size_t count)
{
    double *sorted = malloc(count * sizeof *sorted), median = (double)NAN;
    if (sorted && count) {
        memcpy(sorted, values, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, ascending);
        median = (sorted[count / 2] + sorted[(count - 1) / 2]) / 2;
    }
    free(sorted);
    return median;
}

static double least(const double *values, size_t count)
{
    double low = values[0];
    for (size_t i = 1; i < count; i++) low = fmin(low, values[i]);
    return low;
}

static void write_config(FILE *f, const struct vs_train_options *o)
{
    const struct vs_train_settings *s = &o->train;
    const struct vs_train_model *m = &s->model;
    fprintf(f, ",\n \"config\": {");
    if (m->preset) text(f, "preset", m->preset);
    else fprintf(f, "\"preset\": null");
    fprintf(f, ", \"vocab_size\": %zu, \"hidden_dim\": %zu, \"num_layers\": %zu, \"num_heads\": %zu, \"num_kv_heads\": %zu", m->V, m->h,
            m->L, m->heads, m->kv_heads);
    fprintf(f, ", \"ffn_dim\": %zu, \"seq_len\": %zu, \"batch_size\": %zu, \"num_iter\": %zu, \"warmup_iter\": %zu", m->ffn, m->T, m->B,
            o->iterations, o->warm_up);
    named(f, "learning_rate", s->rate);
    named(f, "weight_decay", s->weight_decay);
    named(f, "max_grad_norm", s->bound);
    named(f, "noise_multiplier", s->noise);
    if (s->budget_bytes) fprintf(f, ", \"memory_budget_mb\": %zu}", s->budget_bytes >> 20);
    else fprintf(f, ", \"memory_budget_mb\": null}");
}

static const char *action_name(unsigned action)
{
    return action & VS_DO_STORE ? "store" : action & VS_DO_KEEP ? "book_keeping" : action & VS_DO_NORM ? "norm" : "gradient";
}

static void write_plan(FILE *f, const struct vs_trainer *t)
{
    const char *separator = "";
    fprintf(f, ",\n \"plan\": [");
    for (int i = 0; i < VS_TRAIN_MATRICES; i++) {
        size_t count = 0;
        for (size_t u = 0; u < t->layout.units; u++) count += vs_train_unit_of(&t->layout, u)->tensor[i].rows > 0;
        if (!count) continue;
        fprintf(f, "%s{", separator);
        text(f, "layers", vs_train_tensor_name((enum vs_train_tensor)i));
        bool linear = i != VS_TENSOR_TOKEN && i != VS_TENSOR_POSITION; /* tables have one way to a norm */
        fprintf(f, ", \"action\": \"%s\", \"norm\": \"%s\", \"count\": %zu}", action_name(t->plan.action[i]),
                linear && t->plan.action[i] & VS_DO_NORM ? t->plan.norm : "", count);
        separator = ", ";
    }
    fprintf(f, "]");
}

static void write_arena(FILE *f, const struct vs_train_result *r)
{
    const struct vs_trainer *t = r->trainer;
    fprintf(f, ",\n \"arena\": {\"capacity_bytes\": %zu, \"predicted_peak_bytes\": %zu, \"peak_bytes\": %zu}",
            t->arena.planning ? t->arena.high : t->arena.capacity, r->planned_peak, t->arena.planning ? 0 : t->arena.peak);
    fprintf(f, ",\n \"snapshots\": [");
    for (size_t i = 0; i < r->moments_count; i++)
        fprintf(f, "%s\n  {\"name\": \"%s\", \"arena_bytes\": %zu, \"ts_ns\": %lld}", i ? "," : "", r->moments[i].name,
                r->moments[i].arena_bytes, r->moments[i].ts_ns);
    fprintf(f, "]");
}

static void write_trainer(FILE *f, const struct vs_train_result *r)
{
    const struct vs_trainer *t = r->trainer;
    fprintf(f, ",\n \"semantics\": \"%s\", \"parameters\": %zu, ", vs_train_semantics_name(t->plan.semantics), t->layout.parameters);
    text(f, "attention_by", vs_trainer_attention(t));
    write_plan(f, t);
    write_arena(f, r);
}

static void write_steps(FILE *f, const struct vs_train_result *r)
{
    fprintf(f, ",\n \"first_time_ms\": ");
    number(f, r->first_ms);
    named(f, "avg_time_ms", vs_train_average(r->times_ms, r->steps));
    named(f, "median_time_ms", vs_train_median(r->times_ms, r->steps));
    named(f, "min_time_ms", least(r->times_ms, r->steps));
    numbers(f, "times_ms", r->times_ms, r->steps);
    numbers(f, "losses", r->losses, r->steps);
}

/* Bytes of a step's collectives of one kind, and how many they are. */
static size_t collective_bytes(const struct vs_trainer *t, enum vs_shard_kind kind, size_t *count)
{
    size_t all, bytes = 0;
    const struct vs_shard_op *op = vs_shard_schedule(t, &all);
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        if (op[i].kind != kind) continue;
        ++*count;
        bytes += op[i].bytes;
    }
    return bytes;
}

static void write_ranks(FILE *f, const struct vs_train_result *r)
{
    const struct vs_shard_ranks *ranks = r->trainer->settings.ranks;
    size_t gathers, reduces, gathered = collective_bytes(r->trainer, VS_SHARD_GATHER, &gathers),
                             reduced = collective_bytes(r->trainer, VS_SHARD_REDUCE, &reduces);
    size_t exchanges, exchanged = collective_bytes(r->trainer, VS_SHARD_EXCHANGE, &exchanges);
    fprintf(f, ",\n \"world_size\": %zu, \"total_batch_size\": %zu, \"norm_timing\": \"%s\"", ranks->world,
            ranks->world * r->options->train.model.B, vs_train_timing_name(r->options->train.timing));
    fprintf(f, ", \"all_gathers\": %zu, \"all_gather_bytes\": %zu, \"reduce_scatters\": %zu, \"reduce_scatter_bytes\": %zu", gathers,
            gathered, reduces, reduced);
    fprintf(f, ", \"all_to_alls\": %zu, \"all_to_all_bytes\": %zu", exchanges, exchanged);
    if (!r->ranks) return;
    fprintf(f, ",\n \"ranks\": [");
    for (size_t i = 0; i < ranks->world; i++)
        fprintf(f, "%s\n  {\"rank\": %zu, \"pid\": %d, \"median_time_ms\": %.17g, \"peak_bytes\": %zu}", i ? "," : "", i,
                r->ranks[i].pid, r->ranks[i].median_ms, r->ranks[i].peak_bytes);
    fprintf(f, "]");
}

static void write_norms(FILE *f, const struct vs_train_result *r)
{
    size_t B = r->options->train.model.B;
    if (!r->norms) return;
    numbers(f, "sample_norms", r->norms, B);
    fprintf(f, ",\n \"clip_coefficients\": [");
    for (size_t b = 0; b < B; b++) {
        if (b) fprintf(f, ", ");
        number(f, (double)r->coefficients[b]);
    }
    fprintf(f, "]");
}

static void write_check(FILE *f, const struct vs_train_errors *e)
{
    fprintf(f, ",\n \"check\": {\"norms\": ");
    number(f, e->norms);
    named(f, "gradients", e->gradients);
    named(f, "weights", e->weights);
    named(f, "clipped", e->clipped);
    named(f, "bound", e->bound);
    named(f, "tolerance", e->tolerance);
    named(f, "change_tolerance", e->change_tolerance);
    fprintf(f, "}");
}

static void write_all(FILE *f, const struct vs_train_result *r)
{
    const struct vs_train_options *o = r->options;
    fprintf(f, "{");
    text(f, "experiment", o->experiment);
    fprintf(f, ", \"status\": \"%s\", ", *r->reason ? "failed" : "ok");
    text(f, "reason", r->reason);
    fprintf(f, ",\n \"mode\": \"%s\", \"norms_only\": %s, ", vs_train_mode_name(o->train.mode), o->train.norms_only ? "true" : "false");
    text(f, "device", r->device_kind);
    fprintf(f, ", ");
    text(f, "device_name", r->device_name);
    fprintf(f, ", \"dtype\": \"%s\", \"optimizer\": \"%s\", \"seed\": %llu, \"pid\": %d", vs_train_dtype_name(o->train.dtype),
            vs_train_optimizer_name(o->train.optimizer), (unsigned long long)o->train.seed, (int)getpid());
    write_config(f, o);
    if (r->trainer) write_trainer(f, r);
    if (r->trainer && r->trainer->settings.ranks) write_ranks(f, r);
    if (r->steps) write_steps(f, r);
    if (r->steps || r->checked) write_norms(f, r);
    if (r->checked) write_check(f, &r->errors);
    fprintf(f, "}\n");
}

int vs_train_result_write(const struct vs_train_result *r, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        int err = -errno;
        if (fd >= 0) close(fd);
        return err;
    }
    write_all(f, r);
    int bad = ferror(f);
    if (fclose(f) || bad) return -EIO;
    return 0;
}

static void show_ranks(const struct vs_train_result *r)
{
    size_t world = r->trainer->settings.ranks->world, gathers, reduces, slow = 0, large = 0;
    size_t gathered = collective_bytes(r->trainer, VS_SHARD_GATHER, &gathers);
    size_t reduced = collective_bytes(r->trainer, VS_SHARD_REDUCE, &reduces), exchanges = 0;
    bool exchange = !reduces; /* one sample on each rank */
    if (exchange) reduced = collective_bytes(r->trainer, VS_SHARD_EXCHANGE, &exchanges);
    char a[32], b[32], c[32];
    for (size_t i = 1; i < world; i++) {
        if (r->ranks[i].median_ms > r->ranks[slow].median_ms) slow = i;
        if (r->ranks[i].peak_bytes > r->ranks[large].peak_bytes) large = i;
    }
    printf("%zu rank%s: rank %zu takes longest, %.2f ms; rank %zu holds most, %s\n", world, world == 1 ? "" : "s", slow,
           r->ranks[slow].median_ms, large, vs_buffer_text(r->ranks[large].peak_bytes, a, sizeof a));
    printf("a step gathers %s in %zu collectives, and %s %s in %zu\n", vs_buffer_text(gathered, b, sizeof b), gathers,
           exchange ? "exchanges" : "reduces", vs_buffer_text(reduced, c, sizeof c), exchange ? exchanges : reduces);
}

void vs_train_result_show(const struct vs_train_result *r)
{
    const struct vs_trainer *t = r->trainer;
    char peak[32], arena[32];
    if (!r->steps) return;
    printf("%s, %s, %s, %zu weights: %.2f ms a step (median of %zu; least %.2f), loss %.4f\n", r->options->experiment,
           vs_train_semantics_name(t->plan.semantics), vs_train_dtype_name(t->on.dtype), t->layout.parameters,
           vs_train_median(r->times_ms, r->steps), r->steps, least(r->times_ms, r->steps), r->losses[r->steps - 1]);
    printf("tensors at most %s, in an arena of %s\n", vs_buffer_text(t->arena.peak, peak, sizeof peak),
           vs_buffer_text(t->arena.capacity, arena, sizeof arena));
    if (r->ranks) show_ranks(r);
    if (r->norms) {
        printf("norms (and coefficients) of the last samples:");
        for (size_t b = 0; b < t->settings.model.B && b < 8; b++) printf(" %.4g (%.3g)", r->norms[b], (double)r->coefficients[b]);
        printf("\n");
    }
}
