/* SPDX-License-Identifier: MIT
 *
 * test_readme.c: what the README promises exists: its make targets, the commands of its table, its settings, the files it
 * links to; its ```sh blocks run as they stand, of its other commands every option exists; and the project's CI runs its test
 * command. It judges no prose.
 */
#include <stdbool.h>

#include "experiment_case.h"

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

/* Calls `each` with every line of the README's blocks of this language ("": without one). The number of lines. */
static int each_line(const char *language, void (*each)(char *line))
{
    char *readme = read_file(VS_SOURCE_DIR "/README.md"), *save = NULL;
    bool inside = false, wanted = false;
    int found = 0;
    for (char *line = strtok_r(readme, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "```", 3)) {
            inside = !inside;
            wanted = inside && !strcmp(line + 3, language);
        } else if (wanted) {
            each(line);
            found++;
        }
    }
    free(readme);
    return found;
}

static void run_line(char *line)
{
    static char said[65536];
    FILE *f = fopen("line.sh", "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "PATH=" VS_BUILD_DIR "/bin:$PATH\n%s\n", line);
    fclose(f);
    int status = system("sh line.sh >said 2>&1");
    cli_read("said", said, sizeof said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "README: this fails: %s\n%s", line, said);
}

START_TEST(test_shell_blocks_run)
{
    if (experiment_no_nvtx()) return;
    ck_assert_int_ge(each_line("sh", run_line), 10);
    ck_assert(cli_exists("figures/memory_breakdown_comparison.png"));
}
END_TEST

static int options_seen;

/* `vramscope VERB ... --option ...`, up to the program that is run and the comment. */
static void check_options(char *line)
{
    static char help[65536];
    char command[256], *save = NULL, *verb, *word;
    if (!strncmp(line, "$ ", 2)) line += 2;
    if (strncmp(line, "vramscope ", 10)) return;
    strtok_r(line, " ", &save);
    verb = strtok_r(NULL, " ", &save);
    ck_assert_ptr_nonnull(verb);
    word = strcmp(verb, "bench") ? (char *)"" : strtok_r(NULL, " ", &save);
    ck_assert_ptr_nonnull(word);
    snprintf(command, sizeof command, VS_BUILD_DIR "/bin/vramscope %.32s %.32s --help >help 2>&1", verb, word);
    int status = system(command);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "README: there is no vramscope %s %s", verb, word);
    cli_read("help", help, sizeof help);
    while ((word = strtok_r(NULL, " =", &save)) && strcmp(word, "--") && *word != '#') {
        if (strncmp(word, "--", 2)) continue;
        options_seen++;
        ck_assert_msg(strstr(help, word) != NULL, "README: vramscope %s has no option %s", verb, word);
    }
}

START_TEST(test_options_of_other_commands_exist)
{
    each_line("", check_options);
    ck_assert_int_ge(options_seen, 20);
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
    c = tcase_create("commands");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 240);
    tcase_add_test(c, test_shell_blocks_run);
    tcase_add_test(c, test_options_of_other_commands_exist);
    suite_add_tcase(s, c);
    return s;
}
