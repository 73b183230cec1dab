/* SPDX-License-Identifier: MIT
 *
 * ingest.c: one database being filled from run folders: which processes there are, transactions, progress. It must
 * never keep in memory what the database refused: after an error everything is taken from the database again.
 */
#include "ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

#include "advance.h"
#include "database_file.h"
#include "folders.h"
#include "liveness.h"
#include "log_reader.h"
#include "match.h"
#include "run_end.h"

struct known { /* a process with a row */
    int64_t id;
    struct vs_identity who;
    char *folder;
    char memory[257];
    bool final, seen, removed;
    uint64_t log_at, log_size;
    struct vs_process *process; /* made when needed; NULL when final */
};

struct vs_ingest {
    struct vs_store *store;
    char *path;
    int lock;
    struct known *known;
    unsigned count, room;
    void (*on_progress)(void *, const struct vs_ingest_progress *);
    void *progress_arg;
    uint64_t progress_ns, records;
};

static void forget_known(struct vs_ingest *in)
{
    for (unsigned i = 0; i < in->count; i++) {
        vs_process_free(in->known[i].process);
        free(in->known[i].folder);
    }
    in->count = 0;
}

static struct known *add_known(struct vs_ingest *in)
{
    if (in->count == in->room) {
        unsigned room = in->room ? in->room * 2 : 16;
        struct known *known = realloc(in->known, room * sizeof *known);
        if (!known) return NULL;
        in->known = known;
        in->room = room;
    }
    memset(&in->known[in->count], 0, sizeof *in->known);
    return &in->known[in->count++];
}

static void state_text(struct vs_ingest *in, int64_t id, const char *key, char *to, size_t size)
{
    char *text = vs_store_state_text(in->store, id, key);
    snprintf(to, size, "%s", text ? text : "");
    free(text);
}

static void load_one(struct vs_ingest *in, struct known *k)
{
    char boot[40];
    state_text(in, k->id, "host", k->who.host, sizeof k->who.host);
    state_text(in, k->id, "memory", k->memory, sizeof k->memory);
    state_text(in, k->id, "boot_id", boot, sizeof boot);
    for (int i = 0; i < 16 && strlen(boot) == 32; i++) sscanf(boot + 2 * i, "%2hhx", &k->who.boot_id[i]);
    k->folder = vs_store_state_text(in->store, k->id, "folder");
    k->who.pid = (uint32_t)vs_store_state(in->store, k->id, "pid");
    k->who.pid_start = (uint64_t)vs_store_state(in->store, k->id, "pid_start");
    k->who.pid_namespace = (uint64_t)vs_store_state(in->store, k->id, "pid_namespace");
    k->who.start_ns = vs_store_state(in->store, k->id, "start_ns");
    k->who.start_real_ns = vs_store_state(in->store, k->id, "start_real_ns");
    k->final = vs_store_state(in->store, k->id, "final") == 1;
    int64_t at = vs_store_state(in->store, k->id, "log_at");
    k->log_at = at > 0 ? (uint64_t)at : 0;
}

static int load_known(struct vs_ingest *in)
{
    sqlite3_stmt *q = NULL;
    int err = 0,
        rc = sqlite3_prepare_v2(vs_store_handle(in->store),
                                "SELECT process_id FROM ingest_state WHERE key='pid_start' ORDER BY 1", -1, &q, NULL);
    forget_known(in);
    while (rc == SQLITE_OK && !err && sqlite3_step(q) == SQLITE_ROW) {
        struct known *k = add_known(in);
        if (k) {
            k->id = sqlite3_column_int64(q, 0);
            load_one(in, k);
        } else {
            err = -ENOMEM;
        }
    }
    sqlite3_finalize(q);
    return err ? err : rc == SQLITE_OK ? 0 : -EIO;
}

static bool same(const struct vs_identity *a, const struct vs_identity *b)
{
    return a->pid == b->pid && a->pid_start == b->pid_start && a->start_ns == b->start_ns && !strcmp(a->host, b->host);
}

static void save_identity(struct vs_ingest *in, const struct known *k)
{
    char boot[40];
    struct vs_store *s = in->store;
    for (int i = 0; i < 16; i++) snprintf(boot + 2 * i, sizeof boot - 2 * (size_t)i, "%02x", k->who.boot_id[i]);
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("host"), vs_text(k->who.host));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("memory"), vs_text(k->memory));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("boot_id"), vs_text(boot));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("folder"), vs_text(k->folder));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("pid"), vs_int(k->who.pid));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("pid_start"), vs_int((int64_t)k->who.pid_start));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("pid_namespace"), vs_int((int64_t)k->who.pid_namespace));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("start_ns"), vs_int(k->who.start_ns));
    VS_PUT(s, VS_ST_STATE, vs_int(k->id), vs_text("start_real_ns"), vs_int(k->who.start_real_ns));
}

/* Matches what was found with what is known; new processes get the next row. */
static int match(struct vs_ingest *in, const struct vs_folders *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct vs_found *x = &f->found[i];
        struct known *k = NULL;
        for (unsigned j = 0; j < in->count && !k; j++)
            if (same(&in->known[j].who, &x->who)) k = &in->known[j];
        bool fresh = !k;
        if (fresh) {
            int64_t id = in->count ? in->known[in->count - 1].id + 1 : 1;
            if (!(k = add_known(in))) return -ENOMEM;
            k->id = id;
            k->who = x->who;
        }
        if (x->folder && (!k->folder || strcmp(k->folder, x->folder))) { /* new, or the run folder was moved */
            free(k->folder);
            if (!(k->folder = strdup(x->folder))) return -ENOMEM;
            fresh = true;
        }
        if (x->memory[0]) memcpy(k->memory, x->memory, sizeof k->memory);
        k->log_size = x->log_size;
        k->seen = true;
        if (fresh) save_identity(in, k);
    }
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int pause_ingest(void *arg, struct vs_process *p, bool commit)
{
    struct vs_ingest *in = arg;
    int err = 0;
    if (commit && !(err = vs_store_commit(in->store))) err = vs_store_begin(in->store);
    uint64_t now = in->on_progress ? now_ns() : 0;
    if (in->on_progress && now - in->progress_ns > 100000000u) {
        struct vs_ingest_progress progress = {.records = in->records + p->records, .processes = in->count};
        in->progress_ns = now;
        for (unsigned i = 0; i < in->count; i++) {
            const struct known *k = &in->known[i];
            progress.bytes_done += k->process ? k->process->log_at : k->log_at;
            progress.bytes_total += k->log_size > k->log_at ? k->log_size : k->log_at;
        }
        in->on_progress(in->progress_arg, &progress);
    }
    return err;
}

static int advance_one(struct vs_ingest *in, struct known *k, const struct vs_advance *how)
{
    int err;
    if (k->final) {
        struct vs_counters none = {0};
        if (k->log_size <= k->log_at || vs_liveness(&k->who, &none) == VS_LIFE_OVER) return 0;
        k->final = false; /* it ran on another machine and was not over */
        if ((err = vs_store_forget(in->store, k->id, (k->id - 1) * VS_ROWS_PER_PROCESS, VS_ROWS_PER_PROCESS)))
            return err;
    }
    if (!k->process) {
        if (!(k->process = vs_process_new(in->store, k->id, &k->who))) return -ENOMEM;
        vs_process_restore(k->process);
    }
    struct vs_process *p = k->process;
    memcpy(p->memory, k->memory, sizeof p->memory);
    free(p->folder);
    p->folder = k->folder ? strdup(k->folder) : NULL;
    err = vs_process_advance(p, how);
    k->log_at = p->log_at;
    if (err || !p->final) return err;
    in->records += p->records;
    k->final = true;
    vs_process_free(p);
    k->process = NULL;
    return 0;
}

static int fill(struct vs_ingest *in, const char *run_folder, bool finishing, struct vs_error *e)
{
    struct vs_advance how = {.finishing = finishing, .arg = in, .pause = pause_ingest};
    struct vs_folders found;
    bool complete = true;
    int err = vs_folders_scan(run_folder, &found, e);
    if (err) return err;
    if (!(err = vs_store_begin(in->store))) err = match(in, &found);
    for (unsigned i = 0; i < in->count && !err; i++) {
        if (in->known[i].seen || finishing) err = advance_one(in, &in->known[i], &how);
        complete &= in->known[i].final;
    }
    if (!err && finishing) vs_run_end_apply(in->store, run_folder);
    VS_PUT(in->store, VS_ST_META, vs_text("complete"), vs_text(complete && finishing ? "1" : "0"));
    if (!err && finishing) err = vs_match_ranks(in->store);
    if (!err && finishing) err = vs_store_index(in->store);
    if (!err) err = vs_store_commit(in->store);
    vs_folders_free(&found);
    if (!err) return 0;
    if (vs_store_error(in->store))
        vs_fail(e, -err, "cannot write %s: %s; nothing is lost: the log is in %s", in->path,
                vs_store_message(in->store), run_folder);
    else vs_fail(e, -err, "cannot read the log in %s: %s", run_folder, strerror(-err));
    vs_store_mute(in->store, false);
    vs_store_rollback(in->store);
    load_known(in);
    return err;
}

int vs_ingest_open(const char *db_path, enum vs_ingest_mode mode, struct vs_ingest **out, struct vs_error *e)
{
    int err;
    struct vs_ingest *in = calloc(1, sizeof *in);
    if (!in) return vs_fail(e, ENOMEM, "out of memory");
    in->lock = -1;
    if ((err = vs_database_file_take(db_path, mode, &in->lock, e)) || (err = vs_store_open(db_path, &in->store, e)))
        goto out;
    in->path = strdup(db_path);
    if (!in->path || (err = load_known(in))) {
        err = vs_fail(e, err ? -err : ENOMEM, "cannot read %s", db_path);
        goto out;
    }
    *out = in;
    in = NULL;
out:
    vs_ingest_close(in);
    return err;
}

void vs_ingest_on_progress(struct vs_ingest *in, void (*fn)(void *arg, const struct vs_ingest_progress *), void *arg)
{
    in->on_progress = fn;
    in->progress_arg = arg;
}

int vs_ingest_step(struct vs_ingest *in, const char *run_folder, struct vs_error *e)
{
    return fill(in, run_folder, false, e);
}

int vs_ingest_finish(struct vs_ingest *in, const char *run_folder, int remove_memory, struct vs_error *e)
{
    int err = fill(in, run_folder, true, e);
    if (err) return err;
    if ((err = vs_store_settle(in->store)))
        return vs_fail(e, -err, "cannot write %s: %s", in->path, vs_store_message(in->store));
    for (unsigned i = 0; i < in->count && remove_memory; i++)
        if (in->known[i].final && in->known[i].memory[0]) /* another machine's is not reachable: nothing happens */
            vs_memory_remove(in->known[i].memory, &in->known[i].who);
    return 0;
}

void vs_ingest_close(struct vs_ingest *in)
{
    if (!in) return;
    forget_known(in);
    free(in->known);
    vs_store_close(in->store);
    if (in->lock >= 0) close(in->lock);
    free(in->path);
    free(in);
}
