/* SPDX-License-Identifier: MIT
 *
 * suite_resume.c: what of an earlier run need not be done again. Must never take a result for one that was asked for otherwise.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

/* 1: whole, and it went well; 0: to be done again. */
static int is_there(const char *json, struct vs_suite_one *x)
{
    struct vs_experiment_facts facts;
    struct vs_error e;
    if (vs_experiment_look(json, &facts, &e) || !facts.ok) return 0;
    x->facts = facts;
    return 1;
}

static int differs(const struct vs_suite *s, const struct vs_suite_one *x, const char *json,
                   char how[VS_EXPERIMENT_TEXT], struct vs_error *e)
{
    struct vs_bench_words words = {0};
    struct vs_experiment_options options = {0};
    int err = vs_suite_words(s, x, &words);
    if (!err) err = vs_experiment_options_make(&words, &options);
    if (err) vs_fail(e, ENOMEM, "out of memory");
    else err = vs_experiment_differs(json, (const char *const *)options.text, options.count, how, e);
    vs_experiment_options_free(&options);
    free(words.argv);
    return err;
}

static int look(struct vs_suite *s, struct vs_suite_one *x, struct vs_error *e)
{
    char path[4300], how[VS_EXPERIMENT_TEXT] = "", *json = NULL;
    struct vs_error damage;
    int err = 0;
    vs_suite_path(s, x, "_result.json", path);
    if (vs_experiment_read(path, &json, &damage)) return 0;
    if (is_there(json, x)) {
        err = differs(s, x, json, how, e);
        if (!*how && *x->facts.trace && strcmp(x->facts.trace, s->trace ? s->trace : "memory"))
            snprintf(how, sizeof how, "then --trace %s", x->facts.trace);
        if (!err && *how)
            err = vs_fail(e, EINVAL,
                          "%s was made with other options (%s); repeat the command as it was, or leave out --resume",
                          path, how);
        if (!err) x->state = VS_SUITE_KEPT;
    }
    free(json);
    return err;
}

int vs_suite_resume(struct vs_suite *s, struct vs_error *e)
{
    for (int i = 0; i < s->count; i++) {
        int err = look(s, &s->one[i], e);
        if (err) return err;
    }
    return 0;
}
