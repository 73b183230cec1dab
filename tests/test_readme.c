/* SPDX-License-Identifier: MIT
 *
 * test_readme.c: what the README promises exists: its make targets, the commands of its table, its settings, the files it
 * links to; and the project's CI runs its test command. It judges no prose.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *make_readme_suite(void);

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    char *text = calloc(1, 1 << 18);
    ck_assert_ptr_nonnull(text);
    size_t n = fread(text, 1, (1 << 18) - 1, f);
    ck_assert_msg(n < (1 << 18) - 1, "%s is longer than this test expects", path);
    fclose(f);
    return text;
}

static bool has_line_starting(const char *text, const char *start)
{
    for (const char *at = text; (at = strstr(at, start)); at++)
        if (at == text || at[-1] == '\n') return true;
    return false;
}

START_TEST(test_make_targets_exist)
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md"), *makefile = read_file(VS_SOURCE_DIR "/Makefile"), *save = NULL;
    int found = 0;
    for (char *line = strtok_r(readme, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char target[64], rule[72];
        if (sscanf(line, "make %63[a-z-]", target) != 1) continue;
        snprintf(rule, sizeof rule, "%s:", target);
        ck_assert_msg(has_line_starting(makefile, rule), "README: there is no target %s", target);
        found++;
    }
    ck_assert_int_ge(found, 2);
    free(readme), free(makefile);
}
END_TEST

START_TEST(test_commands_exist)
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md"), *save = NULL;
    int found = 0;
    for (char *line = strtok_r(readme, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char tool[32], verb[32], command[512];
        if (sscanf(line, "| `%31[a-z-] %31[a-z]", tool, verb) != 2) continue;
        snprintf(command, sizeof command, VS_BUILD_DIR "/bin/%s %s --help >/dev/null 2>&1", tool, verb);
        int status = system(command);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "README: %s %s --help fails", tool, verb);
        found++;
    }
    ck_assert_int_ge(found, 6);
    free(readme);
}
END_TEST

/* Settings are listed in one table of the recorder; two are its own business. */
START_TEST(test_settings_are_documented)
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md"), *config = read_file(VS_SOURCE_DIR "/profiler/config.h"), *save = NULL;
    int found = 0;
    for (char *line = strtok_r(config, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[32], row[64];
        if (sscanf(line, " X(%*[a-z_], \"%31[A-Z_]\"", name) != 1) continue;
        if (!strcmp(name, "RUN_ROOT")) continue;
        snprintf(row, sizeof row, "| `VRAMSCOPE_%s` |", name);
        ck_assert_msg(has_line_starting(readme, row), "README: VRAMSCOPE_%s is missing", name);
        found++;
    }
    ck_assert_int_ge(found, 10);
    free(readme), free(config);
}
END_TEST

START_TEST(test_links_lead_somewhere)
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md");
    int found = 0;
    for (const char *at = readme; (at = strstr(at, "](")); at++) {
        char target[256], path[4096];
        if (sscanf(at, "](%255[^)#])", target) != 1 || strstr(target, "://")) continue;
        snprintf(path, sizeof path, VS_SOURCE_DIR "/%s", target);
        ck_assert_msg(access(path, R_OK) == 0, "README: the link to %s leads nowhere", target);
        found++;
    }
    ck_assert_int_ge(found, 2);
    free(readme);
}
END_TEST

START_TEST(test_ci_runs_the_test_command)
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md"), *ci = read_file(VS_SOURCE_DIR "/.ci/run");
    ck_assert(has_line_starting(readme, "make check "));
    ck_assert(has_line_starting(ci, "step make check\n"));
    free(readme), free(ci);
}
END_TEST

Suite *make_readme_suite(void)
{
    Suite *s = suite_create("readme");
    TCase *c = tcase_create("readme");
    tcase_add_test(c, test_make_targets_exist);
    tcase_add_test(c, test_commands_exist);
    tcase_add_test(c, test_settings_are_documented);
    tcase_add_test(c, test_links_lead_somewhere);
    tcase_add_test(c, test_ci_runs_the_test_command);
    suite_add_tcase(s, c);
    return s;
}
