/* SPDX-License-Identifier: MIT
 *
 * recorder.c: a thread that ingests every quarter second, and the end of a run. Must never print.
 */
#include "recorder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../db/ingest.h"
#include "folder.h"
#include "output.h"

#define PERIOD_NS 250000000l
#define LAST_BREATH_NS 200000000l /* processes that the program left behind are given 5 of these to die */

struct vs_recorder {
    struct vs_output *output;
    struct vs_ingest *in;
    struct vs_error error;
    int failed; /* no more attempts while the program runs */
    pthread_t thread;
    int has_thread, stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static void end_ingest(struct vs_recorder *r)
{
    vs_ingest_close(r->in);
    r->in = NULL;
}

static int begin_ingest(struct vs_recorder *r)
{
    return r->in ? 0 : vs_ingest_open(r->output->db, VS_INGEST_RESUME, &r->in, &r->error);
}

static void tick(struct vs_recorder *r)
{
    int err;
    if (r->failed || !vs_output_try_ingester(r->output) || vs_folder_processes(r->output->folder) <= 0) return;
    err = begin_ingest(r);
    if (err == -EBUSY) return; /* somebody typed `vramscope ingest` */
    if (!err) err = vs_ingest_step(r->in, r->output->folder, &r->error);
    if (!err) return;
    r->failed = 1;
    end_ingest(r);
}

static void *work(void *arg)
{
    struct vs_recorder *r = arg;
    struct timespec until;
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10); /* the program first; on Linux this is one thread's */
    pthread_mutex_lock(&r->mutex);
    while (!r->stop) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += PERIOD_NS;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        pthread_cond_timedwait(&r->wake, &r->mutex, &until);
        if (r->stop) break;
        pthread_mutex_unlock(&r->mutex);
        tick(r);
        pthread_mutex_lock(&r->mutex);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

struct vs_recorder *vs_recorder_start(struct vs_output *o)
{
    struct vs_recorder *r = calloc(1, sizeof *r);
    pthread_condattr_t attributes;
    if (!r) return NULL;
    r->output = o;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    r->has_thread = !pthread_create(&r->thread, NULL, work, r);
    return r;
}

static void stop(struct vs_recorder *r)
{
    if (!r->has_thread) return;
    pthread_mutex_lock(&r->mutex);
    r->stop = 1;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    r->has_thread = 0;
}

static enum vs_recorded read_to_end(struct vs_recorder *r)
{
    const struct timespec pause = {0, LAST_BREATH_NS};
    const char *db = r->output->db;
    int err, attempt, existed = !access(db, F_OK);
    long running = 1;
    for (attempt = 0; running > 0 && attempt < 6; attempt++) {
        if (attempt) nanosleep(&pause, NULL);
        if ((err = begin_ingest(r))) return VS_REC_FAILED;
        vs_progress_begin(r->in);
        err = vs_ingest_finish(r->in, r->output->folder, 1, &r->error);
        vs_progress_end();
        end_ingest(r);
        if (err) return VS_REC_FAILED;
        running = vs_recording_number(db, "SELECT COUNT(*) FROM process WHERE ended = 'running'");
    }
    if (running > 0) return VS_REC_RUNNING;
    if (running < 0) {
        vs_fail(&r->error, EIO, "%s cannot be read back", db);
        return VS_REC_FAILED;
    }
    if (vs_recording_number(db, "SELECT COUNT(*) FROM process") > 0) return VS_REC_COMPLETE;
    if (!existed) vs_recording_delete(db);
    return VS_REC_NOTHING;
}

enum vs_recorded vs_recorder_finish(struct vs_recorder *r, struct vs_output *o, struct vs_error *e)
{
    struct vs_recorder spare = {.output = o};
    enum vs_recorded result;
    if (!r) r = &spare;
    stop(r);
    if (r->in && !r->failed) tick(r); /* so that little is left to do while the door is shut */
    if (!o->locks)
        result = VS_REC_NO_LOCKS;
    else if (!vs_output_leave(o))
        result = VS_REC_SHARED; /* the last one reads what we could not, or says why */
    else
        result = read_to_end(r); /* also when the folder is empty: a process killed at once has its log in memory */
    if (result == VS_REC_COMPLETE || result == VS_REC_NOTHING) vs_folder_delete(o->folder);
    end_ingest(r);
    vs_output_close(o);
    if (e) *e = r->error;
    if (r != &spare) {
        pthread_cond_destroy(&r->wake);
        pthread_mutex_destroy(&r->mutex);
        free(r);
    }
    return result;
}
