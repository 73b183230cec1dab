/* SPDX-License-Identifier: MIT
 *
 * exporter.c: the list of formats and the loop over rows. Must never know how a format looks.
 */
#include "exporter.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

const struct vs_exporter *const vs_exporters[] = {
#define X(name) &vs_exporter_##name,
    VS_EXPORTERS(X)
#undef X
    NULL};

const struct vs_exporter *vs_exporter_find(const char *name)
{
    const struct vs_exporter *const *f;
    for (f = vs_exporters; *f; f++)
        if (!strcmp((*f)->name, name)) return *f;
    return NULL;
}

static int write_failed(struct vs_error *e, int err)
{
    if (err == -ENOMEM) return vs_fail(e, ENOMEM, "out of memory while writing the result");
    return vs_fail(e, EIO, "cannot write the result: %s", strerror(errno ? errno : EIO));
}

int vs_export_rows(const struct vs_exporter *format, sqlite3 *db, sqlite3_stmt *rows, FILE *out, struct vs_error *e)
{
    struct vs_export x = {.out = out, .db = db, .rows = rows, .columns = sqlite3_column_count(rows)};
    int err, step = SQLITE_DONE;
    errno = 0;
    err = format->begin(&x);
    while (!err && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        err = format->row(&x);
        if (ferror(out)) err = -EIO;
    }
    if (!err && step == SQLITE_DONE) err = format->end(&x);
    if (!err && (fflush(out) || ferror(out))) err = -EIO;
    if (err)
        err = write_failed(e, err);
    else if (step != SQLITE_DONE)
        err = vs_fail(e, EINVAL, "%s", sqlite3_errmsg(db));
    if (format->close) format->close(&x);
    return err;
}
