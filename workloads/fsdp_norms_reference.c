/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_reference.c: what all ranks together must come to: the whole model, unsharded, all samples, float64, mode explicit, on the CPU
 * of rank 0. It computes on threads of its own, without noise and with it side by side, so that the rank goes on meeting the others,
 * whose patience would end the job otherwise.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workloads/fsdp_norms.h"

enum { LOOK_MS = 50, PIECE = 8 << 20 };

struct work {
    struct vs_train_settings settings;
    struct vs_fsdp_reference *out;
    size_t steps;
    bool noisy;
    int err;           /* of this thread */
    bool *stop, *done; /* shared, __atomic_* */
};

static bool stopped(const struct work *w)
{
    return __atomic_load_n(w->stop, __ATOMIC_ACQUIRE);
}

static int step(struct work *w, struct vs_trainer *t, size_t i)
{
    double loss;
    int err = stopped(w) ? -ECANCELED : vs_trainer_load(t, i);
    t->observe = i == 0 ? vs_train_copy_gradient : NULL;
    t->observer = &w->out->gradient[w->noisy];
    if (!err) err = vs_trainer_step(t);
    /* Both threads find the same norms; one keeps them. */
    return err ? err : vs_trainer_read(t, &loss, i == 0 && !w->noisy ? w->out->norm : NULL, NULL);
}

static int train(struct work *w, size_t steps, bool kept)
{
    const struct vs_device *cpu = vs_device_cpu();
    struct vs_trainer t = {0};
    struct vs_train_copy first = {0};
    void *context;
    size_t available;
    int err = cpu->open(&context);
    if (err) return err;
    err = vs_trainer_plan(&t, &w->settings, cpu, context);
    if (!err && !cpu->free_bytes(&available) && t.arena.high > available)
        err = -ENOMEM; /* promised, it would end the program later */
    if (!err) err = vs_trainer_open(&t);
    if (!err && kept) err = vs_train_copy_open(&first, &t);
    if (!err && kept) err = vs_train_copy_weights(&first, &t);
    for (size_t i = 0; !err && i < steps; i++) err = step(w, &t, i);
    if (!err && kept) err = vs_train_copy_weights(&w->out->weight[w->noisy], &t);
    if (!err && kept) vs_train_copy_subtract(&w->out->weight[w->noisy], &first);
    vs_train_copy_free(&first);
    vs_trainer_close(&t);
    cpu->close(context);
    return err;
}

static void *train_all(void *state)
{
    struct work *w = state;
    w->err = train(w, w->steps, true);
    return NULL;
}

/* Some samples are clipped, and some are not. */
static double bound_of(const double *norm, size_t B)
{
    double low = norm[0], high = low;
    for (size_t b = 1; b < B; b++) {
        low = fmin(low, norm[b]);
        high = fmax(high, norm[b]);
    }
    return B == 1 ? low / 2 : (low + high) / 2;
}

static void *reference_thread(void *state)
{
    struct work *quiet = state, noisy;
    struct vs_train_settings *s = &quiet->settings;
    double noise = s->noise;
    pthread_t other;
    s->noise = 0;
    s->bound = 1;
    int err = train(quiet, 1, false); /* for the norms alone, which no bound changes */
    s->bound = quiet->out->bound = err ? 1 : bound_of(quiet->out->norm, quiet->out->B);
    noisy = *quiet;
    noisy.noisy = true;
    noisy.settings.noise = noise;
    noisy.err = 0;
    if (!err) err = -pthread_create(&other, NULL, train_all, &noisy);
    if (!err) {
        train_all(quiet);
        pthread_join(other, NULL);
        err = quiet->err ? quiet->err : noisy.err;
    }
    quiet->err = err;
    __atomic_store_n(quiet->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* ---- to all ranks ---- */

static int copy_room(struct vs_train_copy *c, size_t parameters)
{
    c->element = sizeof(double);
    c->bytes = parameters * c->element;
    c->data = calloc(parameters, c->element);
    c->owned = malloc(parameters * sizeof *c->owned);
    if (!c->data || !c->owned) return -ENOMEM;
    memset(c->owned, true, parameters * sizeof *c->owned);
    return 0;
}

static int make_room(struct vs_fsdp_job *job, struct vs_fsdp_reference *out)
{
    struct vs_train_layout layout;
    vs_train_layout(&job->o->train.model, &layout);
    *out = (struct vs_fsdp_reference){.B = job->o->train.model.B * job->world};
    out->norm = calloc(out->B, sizeof *out->norm);
    int err = out->norm ? 0 : -ENOMEM;
    for (int i = 0; !err && i < 2; i++) {
        err = copy_room(&out->gradient[i], layout.parameters);
        if (!err) err = copy_room(&out->weight[i], layout.parameters);
    }
    return err;
}

void vs_fsdp_reference_free(struct vs_fsdp_reference *r)
{
    for (int i = 0; i < 2; i++) {
        vs_train_copy_free(&r->gradient[i]);
        vs_train_copy_free(&r->weight[i]);
    }
    free(r->norm);
    r->norm = NULL;
}

/* -EINPROGRESS until rank 0 is done, then what became of it. */
static int wait_for(struct vs_team *team, const struct work *w)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    int state, err = 0;
    do {
        state = 0;
        if (w) {
            bool done = __atomic_load_n(w->done, __ATOMIC_ACQUIRE);
            state = done ? w->err : -EINPROGRESS;
            if (!done) nanosleep(&look, NULL);
        }
        err = vs_team_share(team, &state, sizeof state);
    } while (!err && state == -EINPROGRESS);
    return err ? err : state;
}

static int compute(struct vs_fsdp_job *job, struct vs_fsdp_reference *out)
{
    bool stop = false, done = false;
    struct work w = {.settings = job->o->train, .out = out, .steps = job->o->iterations, .stop = &stop, .done = &done};
    pthread_t thread;
    w.settings.model.B = out->B;
    w.settings.dtype = VS_TRAIN_fp64;
    w.settings.mode = VS_MODE_explicit;
    int err = -pthread_create(&thread, NULL, reference_thread, &w);
    if (err) { /* the others wait to be told */
        w.err = err;
        done = true;
        return wait_for(job->ranks.team, &w);
    }
    err = wait_for(job->ranks.team, &w);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    return err;
}

static int share(struct vs_team *team, void *data, size_t bytes)
{
    int err = 0;
    for (size_t at = 0; !err && at < bytes; at += PIECE)
        err = vs_team_share(team, (char *)data + at, bytes - at < PIECE ? bytes - at : PIECE);
    return err;
}

int vs_fsdp_reference_make(struct vs_fsdp_job *job, struct vs_fsdp_reference *out)
{
    struct vs_team *team = job->ranks.team;
    int err = make_room(job, out);
    if (err) return vs_fsdp_failed(job, err, "memory for the reference");
    err = job->rank == 0 ? compute(job, out) : wait_for(team, NULL);
    if (!err) err = share(team, &out->bound, sizeof out->bound);
    if (!err) err = share(team, out->norm, out->B * sizeof *out->norm);
    for (int i = 0; !err && i < 2; i++) {
        err = share(team, out->gradient[i].data, out->gradient[i].bytes);
        if (!err) err = share(team, out->weight[i].data, out->weight[i].bytes);
    }
    return vs_fsdp_failed(job, err, "reference in float64");
}
