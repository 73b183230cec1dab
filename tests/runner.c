/* SPDX-License-Identifier: MIT
 *
 * runner.c: runs every suite: each tests/test_NAME.c exports `Suite *make_NAME_suite(void)`, and the Makefile makes the
 * list from the file names. It decides nothing about the tests but which ones run.
 *
 * Arguments: names of suites (none: all). CK_INCLUDE_TAGS and CK_EXCLUDE_TAGS choose by tag (gpu fuzz soak), CK_FORK=no
 * helps a debugger. Exit status: 0; 1 a test failed; 2 nothing was run, which no caller may take for success.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#define X(name) Suite *make_##name##_suite(void);
#include "tests/suites.inc"
#undef X

static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {
#define X(name) {#name, make_##name##_suite},
#include "tests/suites.inc"
#undef X
};

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name)) return 1;
    return argc < 2;
}

int main(int argc, char **argv)
{
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (wanted(suites[i].name, argc, argv)) srunner_add_suite(runner, suites[i].make());
    srunner_run_all(runner, CK_ENV);
    int ran = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (!ran) fprintf(stderr, "runner: no test was run\n");
    return failed ? 1 : ran ? 0 : 2;
}
