/* SPDX-License-Identifier: MIT
 *
 * csv.c: reads comma-separated values in place. Must never read beyond the bytes of the file, nor take half a row for a row.
 */
#include "csv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LARGEST_BYTES (64l << 20) /* results of a bench are far below: a larger file is the wrong one */

int vs_csv_open(struct vs_csv *c, const char *path, struct vs_error *e)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    int err = 0;
    *c = (struct vs_csv){.path = path, .next_line = 1};
    if (!f || fstat(fileno(f), &st)) err = vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) err = vs_fail(e, EINVAL, "%s is not a file", path);
    else if (st.st_size > LARGEST_BYTES) err = vs_fail(e, EFBIG, "%s is too large to be a list of results", path);
    else if (!(c->text = malloc((size_t)st.st_size + 1))) err = vs_fail(e, ENOMEM, "out of memory");
    if (!err) {
        c->bytes = fread(c->text, 1, (size_t)st.st_size, f);
        if (ferror(f)) err = vs_fail(e, EIO, "cannot read %s", path);
    }
    if (f) fclose(f);
    if (err) vs_csv_close(c);
    return err;
}

static int wrong(const struct vs_csv *c, struct vs_error *e, const char *what)
{
    return vs_fail(e, EINVAL, "%s, line %lu: %s", c->path, c->next_line, what);
}

/* The field at `at`, which ends up behind it, on the separator. 0 or -EINVAL; -ENODATA: the file ends inside it. */
static int take_quoted(struct vs_csv *c, char **field, size_t *length, struct vs_error *e)
{
    char *to = *field = c->text + ++c->at;
    for (;; c->at++) {
        if (c->at >= c->bytes) return -ENODATA;
        if (c->text[c->at] == '"' && c->at + 1 < c->bytes && c->text[c->at + 1] == '"') c->at++;
        else if (c->text[c->at] == '"') break;
        if (c->text[c->at] == '\n') c->next_line++;
        *to++ = c->text[c->at];
    }
    *length = (size_t)(to - *field);
    c->at++;
    if (c->at >= c->bytes) return -ENODATA;
    return strchr(",\r\n", c->text[c->at]) && c->text[c->at] ? 0 : wrong(c, e, "text after a closing quote");
}

static int take_plain(struct vs_csv *c, char **field, size_t *length, struct vs_error *e)
{
    size_t from = c->at;
    *field = c->text + from;
    while (c->at < c->bytes && c->text[c->at] != ',' && c->text[c->at] != '\n' && c->text[c->at] != '\r') {
        if (c->text[c->at] == '"') return wrong(c, e, "a quote inside a field that does not begin with one");
        c->at++;
    }
    *length = c->at - from;
    return c->at < c->bytes ? 0 : -ENODATA;
}

/* Past the end of a field: 1 when the row goes on. The separator becomes the field's terminator. */
static int step_over(struct vs_csv *c, char *end, struct vs_error *e)
{
    char separator = c->text[c->at];
    if (separator == '\r' && c->at + 1 >= c->bytes) return -ENODATA;
    if (separator == '\r' && c->text[c->at + 1] != '\n') return wrong(c, e, "a carriage return that ends no line");
    c->at += separator == '\r' ? 2 : 1;
    *end = 0;
    if (separator == ',') return 1;
    c->next_line++;
    return 0;
}

int vs_csv_next(struct vs_csv *c, struct vs_error *e)
{
    int more = 1, err = 0;
    c->fields = 0;
    c->line = c->next_line;
    if (c->at >= c->bytes) return 0;
    while (more == 1 && !err) {
        int n = c->fields;
        if (n == VS_CSV_FIELDS) return wrong(c, e, "too many fields");
        if (c->at >= c->bytes) err = -ENODATA;
        else if (c->text[c->at] == '"') err = take_quoted(c, &c->field[n], &c->length[n], e);
        else err = take_plain(c, &c->field[n], &c->length[n], e);
        if (!err && (more = step_over(c, c->field[n] + c->length[n], e)) < 0) err = more;
        c->fields++;
    }
    if (err != -ENODATA) return err ? err : 1;
    c->torn = 1;
    c->at = c->bytes;
    return 0;
}

void vs_csv_close(struct vs_csv *c)
{
    free(c->text);
    c->text = NULL;
    c->bytes = c->at = 0;
}
