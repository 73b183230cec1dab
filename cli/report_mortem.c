/* SPDX-License-Identifier: MIT
 *
 * report_mortem.c: the section POST-MORTEM: of what a process died, first of all sections. One process in full, the others in
 * a line each. Must never call a program dead that lives, nor lead with a failure it survived: view post_mortem decides.
 */
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "mortem.h"

#define OTHERS 3
#define COLUMN 11 /* where the text of a line begins */
#define ITEM   60

void vs_flow_end(struct vs_flow *f)
{
    if (f->columns && f->lines < f->most) vs_sheet_line(f->sheet, "  %-8s %s", f->lines ? "" : f->label, f->text);
    if (f->columns) f->lines++;
    f->columns = 0;
    f->text[0] = 0;
}

void vs_flow_add(struct vs_flow *f, const char *format, ...)
{
    char item[VS_CELL], cell[VS_CELL];
    const char *before = "";
    int n;
    va_list args;
    va_start(args, format);
    vsnprintf(item, sizeof item, format, args);
    va_end(args);
    for (n = (int)strlen(vs_cell(item, ITEM, cell)); n && cell[n - 1] == ' ';) cell[--n] = 0;
    if (f->columns) before = f->text[strlen(f->text) - 1] == ':' ? " " : ", ";
    if (f->columns && COLUMN + f->columns + 2 + n > VS_SHEET_COLUMNS - 1) {
        if (*before == ',') strcat(f->text, f->lines + 1 < f->most ? "," : " ...");
        vs_flow_end(f);
        before = "";
    }
    snprintf(f->text + strlen(f->text), sizeof f->text - strlen(f->text), "%s%s", before, cell);
    f->columns += n + (int)strlen(before);
}

char *vs_mortem_bytes(int64_t bytes, char out[VS_HUMAN])
{
    if (bytes != VS_UNKNOWN) return vs_human_bytes(bytes, out);
    strcpy(out, "unknown");
    return out;
}

sqlite3_stmt *vs_mortem_query(struct vs_sheet *s, const struct vs_death *d, const char *sql)
{
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (!q) return NULL;
    sqlite3_bind_int64(q, 2, d->process);
    sqlite3_bind_int64(q, 3, d->device);
    sqlite3_bind_int64(q, 4, d->ts_ns);
    return q;
}

static int64_t column(sqlite3_stmt *q, int i)
{
    return sqlite3_column_type(q, i) == SQLITE_NULL ? VS_UNKNOWN : sqlite3_column_int64(q, i);
}

int64_t vs_mortem_number(struct vs_sheet *s, const struct vs_death *d, const char *sql)
{
    sqlite3_stmt *q = vs_mortem_query(s, d, sql);
    int64_t n = vs_sheet_next(s, &q) ? column(q, 0) : VS_UNKNOWN;
    sqlite3_finalize(q);
    return n;
}

static void read_death(sqlite3_stmt *q, int64_t processes, struct vs_death *d)
{
    const char *source = (const char *)sqlite3_column_text(q, 20);
    *d = (struct vs_death){.rank = column(q, 0),
                           .pid = column(q, 1),
                           .device = sqlite3_column_type(q, 2) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, 2),
                           .process = column(q, 3),
                           .start_ns = column(q, 4),
                           .real_ns = column(q, 5),
                           .ts_ns = column(q, 6),
                           .gone_ns = column(q, 7),
                           .last_event_ns = column(q, 8),
                           .asked = column(q, 9),
                           .free = column(q, 10),
                           .total = column(q, 11),
                           .allocated = column(q, 12),
                           .reserved = column(q, 13),
                           .refusals = column(q, 14),
                           .exit_status = column(q, 15),
                           .range = column(q, 16),
                           .phase = column(q, 17),
                           .failed = sqlite3_column_int(q, 18),
                           .killed = sqlite3_column_int(q, 19),
                           .torch = source && !strcmp(source, "torch")};
    vs_column_text(q, 21, "", 0, d->library);
    vs_column_text(q, 20, "", 0, d->source);
    vs_column_place(q, 0, processes, 0, d->place);
}

char *vs_mortem_end(int killed, int64_t status, char out[VS_ENDED])
{
    if (killed && status > 128 && status < 128 + NSIG)
        snprintf(out, VS_ENDED, "was killed by signal %d (%s)", (int)status - 128, strsignal((int)status - 128));
    else if (killed) snprintf(out, VS_ENDED, "was killed");
    else if (status > 0) snprintf(out, VS_ENDED, "ended with status %d", (int)status);
    else snprintf(out, VS_ENDED, "ended");
    return out;
}

/* ", in iteration 3, backward; range step" */
static void where(struct vs_sheet *s, const struct vs_death *d, char *text, size_t size)
{
    sqlite3_stmt *q =
        vs_sheet_query(s, "SELECT (SELECT iteration FROM phase WHERE id = ?2), (SELECT name FROM phase WHERE id = ?2),"
                          " (SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = ?3)");
    char cell[VS_CELL];
    size_t n = 0;
    text[0] = 0;
    if (q && d->phase != VS_UNKNOWN) sqlite3_bind_int64(q, 2, d->phase);
    if (q && d->range != VS_UNKNOWN) sqlite3_bind_int64(q, 3, d->range);
    if (vs_sheet_next(s, &q)) {
        if (sqlite3_column_type(q, 0) != SQLITE_NULL)
            n += (size_t)snprintf(text + n, size - n, ", in iteration %lld", (long long)sqlite3_column_int64(q, 0));
        if (sqlite3_column_type(q, 1) != SQLITE_NULL)
            n += (size_t)snprintf(text + n, size - n, ", %.20s", vs_column_text(q, 1, "", 0, cell));
        if (sqlite3_column_type(q, 2) != SQLITE_NULL)
            snprintf(text + n, size - n, ", range %.200s", vs_column_text(q, 2, "", 0, cell));
    }
    sqlite3_finalize(q);
}

/* ---- a failure ---- */

static void asked(struct vs_sheet *s, const struct vs_death *d)
{
    char bytes[VS_HUMAN], at[VS_HUMAN], place[400];
    where(s, d, place, sizeof place);
    vs_human_time(d->ts_ns - d->start_ns, at);
    vs_mortem_bytes(d->asked, bytes);
    if (d->torch) vs_sheet_line(s, "  asked    %s by PyTorch at +%s%s", bytes, at, place);
    else if (!*d->library) vs_sheet_line(s, "  asked    %s (%s) at +%s%s", bytes, d->source, at, place);
    else
        vs_sheet_line(s, "  asked    %s (%s) %s %s at +%s%s", bytes, d->source,
                      strncmp(d->library, "libcudart", 9) ? "by" : "through", d->library, at, place);
}

static void find_fits(struct vs_sheet *s, struct vs_death *d)
{
    d->cached = d->largest_cached = d->fits = d->missing = VS_UNKNOWN;
    if (d->torch && d->reserved != VS_UNKNOWN && d->allocated != VS_UNKNOWN) d->cached = d->reserved - d->allocated;
    if (d->torch && d->cached > 0)
        d->largest_cached =
            vs_mortem_number(s, d,
                             "SELECT MAX(largest_free_bytes) FROM segment_fragmentation WHERE process_id = ?2"
                             " AND device = ?3 AND moment = 'failure' AND ABS(ts_ns - ?4) < 1000000000");
    if (d->free == VS_UNKNOWN || d->device < 0) return;
    d->fits = d->largest_cached != VS_UNKNOWN && d->largest_cached > d->free ? d->largest_cached : d->free;
    d->missing = d->asked - d->fits;
}

static void fits(struct vs_sheet *s, const struct vs_death *d)
{
    char bytes[VS_HUMAN], total[VS_HUMAN];
    struct vs_flow f = {.sheet = s, .label = "free", .most = 2};
    if (d->free != VS_UNKNOWN && d->total != VS_UNKNOWN)
        vs_flow_add(&f, "%s of %s on the device", vs_human_bytes(d->free, bytes), vs_human_bytes(d->total, total));
    else if (d->free != VS_UNKNOWN) vs_flow_add(&f, "%s on the device", vs_human_bytes(d->free, bytes));
    if (d->cached != VS_UNKNOWN) vs_flow_add(&f, "PyTorch held %s unused", vs_human_bytes(d->cached, bytes));
    if (d->largest_cached != VS_UNKNOWN)
        vs_flow_add(&f, "at most %s of it in one piece", vs_human_bytes(d->largest_cached, bytes));
    vs_flow_end(&f);
    if (d->missing == VS_UNKNOWN) return;
    if (d->missing > 0 && !d->fits)
        vs_sheet_line(s, "  fits     nothing would have fitted; %s were missing", vs_human_bytes(d->missing, bytes));
    else if (d->missing > 0)
        vs_sheet_line(s, "  fits     at most %s would have fitted; %s were missing", vs_human_bytes(d->fits, bytes),
                      vs_human_bytes(d->missing, total));
    else if (d->torch && !d->refusals)
        vs_sheet_line(
            s, "  fits     by these numbers it would; PyTorch did not ask the driver (a memory fraction is set?)");
    else vs_sheet_line(s, "  fits     by these numbers it would; the driver refused all the same");
}

/* ---- a kill ---- */

static void when(struct vs_sheet *s, const struct vs_death *d)
{
    char at[VS_HUMAN], before[VS_HUMAN], place[400];
    where(s, d, place, sizeof place);
    vs_sheet_line(s, "  when     last alive at +%s, last event %s before%s",
                  vs_human_time(d->gone_ns - d->start_ns, at), vs_human_time(d->gone_ns - d->last_event_ns, before),
                  place);
}

static void collectives(struct vs_sheet *s, const struct vs_death *d)
{
    sqlite3_stmt *q = vs_mortem_query(
        s, d,
        "SELECT op, bytes, ?4 - begin_ns, end_ns IS NULL, sequence FROM collective WHERE process_id = ?2"
        " ORDER BY end_ns IS NULL DESC, begin_ns DESC LIMIT 2");
    int n = 0;
    while (vs_sheet_next(s, &q)) {
        char op[VS_CELL], bytes[VS_CELL], before[VS_CELL], number[40] = "";
        int open = sqlite3_column_int(q, 3);
        if (n++ && !open) continue; /* the last one that returned is told only when none is open */
        if (sqlite3_column_type(q, 4) != SQLITE_NULL)
            snprintf(number, sizeof number, " #%lld", (long long)sqlite3_column_int64(q, 4));
        vs_sheet_line(s, "  %-8s %s%s of %s, called %s before the end%s", open ? "in NCCL" : "NCCL",
                      vs_column_text(q, 0, "", 0, op), number, vs_column_bytes(q, 1, 0, bytes),
                      vs_column_time(q, 2, 0, before), open ? ": it had not returned" : "");
    }
}

/* ---- the section ---- */

static void in_full(struct vs_sheet *s, struct vs_death *d)
{
    char end[VS_ENDED], later[VS_HUMAN];
    vs_mortem_end(d->killed, d->exit_status, end);
    if (d->failed) {
        vs_sheet_line(s, "POST-MORTEM  %s: an allocation failed, and %s later the process %s", d->place,
                      vs_human_time(d->gone_ns - d->ts_ns, later), end);
        find_fits(s, d);
        asked(s, d);
        fits(s, d);
    } else {
        vs_sheet_line(s, "POST-MORTEM  %s: the process %s", d->place, end);
        when(s, d);
        collectives(s, d);
        vs_mortem_host(s, d);
    }
    vs_mortem_owners(s, d);
    if (!s->brief) vs_mortem_largest(s, d);
    vs_mortem_account(s, d);
    vs_mortem_growth(s, d);
    if (d->failed) vs_mortem_advice(s, d);
}

static void in_a_line(struct vs_sheet *s, const struct vs_death *d, const struct vs_death *first)
{
    char end[VS_ENDED], bytes[VS_HUMAN], later[VS_HUMAN];
    vs_mortem_end(d->killed, d->exit_status, end);
    vs_human_time(d->real_ns - first->real_ns, later);
    if (d->failed)
        vs_sheet_line(s, "  also     %s: asked for %s in vain %s later", d->place, vs_mortem_bytes(d->asked, bytes),
                      later);
    else vs_sheet_line(s, "  also     %s: the process %s, %s later", d->place, end, later);
}

/* Those that ran out of memory first, in the order it happened; who held nothing and failed at nothing is left out. */
void vs_report_mortem(struct vs_sheet *s)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, m.device, p.id, p.start_ns, p.start_real_ns + m.ts_ns - p.start_ns, m.ts_ns, m.gone_ns, "
        "m.last_event_ns,"
        " m.asked_bytes, m.free_bytes, m.total_bytes, m.allocated_bytes, m.reserved_bytes, m.refusals, m.exit_status, "
        "m.range_id,"
        " m.phase_id, m.kind <> 'killed' AS failed, p.ended = 'killed', m.source, m.library,"
        " (SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN ")"
        " FROM post_mortem m JOIN process p ON p.id = m.process_id WHERE p.id IN " VS_SHOWN
        " AND (m.kind <> 'killed' OR EXISTS (SELECT 1 FROM peak_data x WHERE x.process_id = p.id))"
        " ORDER BY failed DESC, 6, p.id";
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    struct vs_death first, next;
    int n = 0;
    while (vs_sheet_next(s, &q)) {
        read_death(q, sqlite3_column_int64(q, 22), n ? &next : &first);
        if (!n++) in_full(s, &first);
        else if (n <= OTHERS + 1) in_a_line(s, &next, &first);
    }
    if (n > OTHERS + 1) vs_sheet_line(s, "  also     %d more: SELECT * FROM post_mortem", n - OTHERS - 1);
}
