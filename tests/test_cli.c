/* SPDX-License-Identifier: MIT
 *
 * test_cli.c: the command line: help, wrong usage with its hints, bad input, and query in every format.
 */
#include "test_cli.h"

Suite *make_cli_suite(void);

static const struct {
    const char *args[6];
    int status;
    const char *out, *err; /* must be in it; NULL: it must be empty */
} usage[] = {
    {{"--version"}, 0, "vramscope ", NULL},
    {{"--help"}, 0, "Usage: vramscope COMMAND", NULL},
    {{"help", "run"}, 0, "--trace LEVEL", NULL},
    {{"run", "--help"}, 0, "Example:\n  vramscope run -o run.db -- torchrun", NULL},
    {{"ingest", "-h"}, 0, "Usage: vramscope ingest FOLDER... -o DB", NULL},
    {{"report", "--help"}, 0, "--rank N", NULL},
    {{"query", "--help"}, 0, "table (aligned", NULL},
    {{"plot", "--help"}, 0, "-o, --output DIR", NULL},
    {{NULL}, 2, NULL, "Commands:"},
    {{"repotr"}, 2, NULL, "unknown command repotr; did you mean report?"},
    {{"\033[31m"}, 2, NULL, "unknown command \\x1b[31m"},
    {{"--verison"}, 2, NULL, "unknown option --verison; did you mean --version?"},
    {{"report", "--rnak", "1", "x"}, 2, NULL, "unknown option --rnak; did you mean --rank?"},
    {{"query", "x", "y", "--fromat=csv"}, 2, NULL, "unknown option --fromat; did you mean --format?"},
    {{"query", "x", "y", "--format", "jsn"}, 2, NULL, "--format cannot be 'jsn'; did you mean json?"},
    {{"query", "x", "y", "--format"}, 2, NULL, "option --format needs a value"},
    {{"run", "--force=yes", "--", "true"}, 2, NULL, "option --force takes no value"},
    {{"run", "-x", "true"}, 2, NULL, "unknown option -x"},
    {{"run"}, 2, NULL, "run needs the program to start"},
    {{"run", "--force", "--append", "true"}, 2, NULL, "exclude each other"},
    {{"run", "--trace", "kernel", "true"}, 2, NULL, "did you mean kernels?"},
    {{"run", "--ranks", "1-", "true"}, 2, NULL, "--ranks needs a list"},
    {{"report"}, 2, NULL, "report needs one database"},
    {{"report", "x", "--rank", "one"}, 2, NULL, "--rank needs a number"},
    {{"ingest", "-o", "x"}, 2, NULL, "ingest needs the log folder"},
    {{"ingest", "x"}, 2, NULL, "ingest needs -o DB"},
    {{"query", "a", "b", "c"}, 2, NULL, "put it in quotes"},
    {{"plot"}, 2, NULL, "plot needs one database or log folder"},
    {{"report", "none.db"}, 1, NULL, "none.db"},
    {{"query", "none.db", "SELECT 1"}, 1, NULL, "none.db"},
    {{"plot", "none.db"}, 1, NULL, "none.db"},
    {{"report", "foreign"}, 1, NULL, "foreign"},
    {{"report", "other.db"}, 1, NULL, "other.db"},
    {{"report", "hollow"}, 1, NULL, "hollow holds no log of a recorded process"},
    {{"ingest", "none", "-o", "x.db"}, 1, NULL, "log folder none does not exist"},
    {{"ingest", "hollow", "-o", "x.db"}, 1, NULL, "hollow holds no log of a recorded process"},
    {{"ingest", "foreign", "-o", "x.db"}, 1, NULL, "foreign is a file"},
    {{"ingest", "inner/p", "-o", "x.db"}, 1, NULL, "name the folder above it"},
};

START_TEST(test_usage)
{
    FILE *f = fopen("foreign", "w");
    fputs("not a database, but long enough to be read as one: 0123456789012345678901234567890123456789\n", f);
    fclose(f);
    cli_database("other.db", "UPDATE meta SET value = '999' WHERE key = 'format_version'");
    mkdir("hollow", 0700);
    mkdir("inner", 0700);
    mkdir("inner/p", 0700);
    fclose(fopen("inner/p/log", "w"));
    cli_wait(cli_start(usage[_i].args));
    STATUS(usage[_i].status);
    if (usage[_i].out)
        HAS(got.out, usage[_i].out);
    else
        ck_assert_str_eq(got.out, "");
    if (usage[_i].err)
        HAS(got.err, usage[_i].err);
    else
        ck_assert_str_eq(got.err, "");
    if (usage[_i].status == 1) ck_assert_int_eq(strncmp(got.err, "vramscope: error: ", 18), 0);
    ck_assert(!cli_exists("x.db"));
}
END_TEST

static const char rows[] = "INSERT INTO string VALUES (1, 'plain'), (2, 'a,\"b\"' || char(10) || 'c'),"
                           " (3, 'red' || char(27) || '[31m'), (4, NULL), (5, '\xe5\x89\x8d\xe5\x90\x91'), (6, '')";

START_TEST(test_query_csv)
{
    cli_database("t.db", rows);
    CLI("query", "t.db", "SELECT id, text, x'00ff' AS raw, 1.5 AS real FROM string", "--format", "csv");
    STATUS(0);
    ck_assert_str_eq(got.out, "id,text,raw,real\n1,plain,00ff,1.5\n2,\"a,\"\"b\"\"\nc\",00ff,1.5\n3,red\033[31m,00ff,1.5\n"
                              "4,,00ff,1.5\n5,\xe5\x89\x8d\xe5\x90\x91,00ff,1.5\n6,\"\",00ff,1.5\n");
    CLI("query", "--format=csv", "t.db", "SELECT id FROM string WHERE id > 99");
    ck_assert_str_eq(got.out, "id\n");
}
END_TEST

START_TEST(test_query_json)
{
    cli_database("t.db", rows);
    CLI("query", "--format", "json", "t.db", "SELECT id, id, text FROM string WHERE id IN (2, 3, 4)");
    STATUS(0);
    ck_assert_str_eq(got.out, "[\n{\"id\":2,\"id:1\":2,\"text\":\"a,\\\"b\\\"\\nc\"},\n"
                              "{\"id\":3,\"id:1\":3,\"text\":\"red\\u001b[31m\"},\n{\"id\":4,\"id:1\":4,\"text\":null}\n]\n");
    CLI("query", "t.db", "SELECT 1 WHERE 0", "-f", "json");
    ck_assert_str_eq(got.out, "[]\n");
}
END_TEST

START_TEST(test_query_table)
{
    cli_database("t.db", rows);
    CLI("query", "t.db", "SELECT text, id * 1000 AS n FROM string WHERE id > 1");
    STATUS(0);
    ck_assert_str_eq(got.out, "text            n\na,\"b\"\\nc     2000\nred\\x1b[31m  3000\nNULL         4000\n"
                              "\xe5\x89\x8d\xe5\x90\x91         5000\n             6000\n");
    CLI("query", "t.db");
    STATUS(0);
    HAS(got.out, "\nview   peak                   process_id rank device source peak_bytes");
    HAS(got.out, "\ntable  allocation             id process_id device level");
}
END_TEST

static const struct {
    const char *sql, *err;
} refused[] = {
    {"DELETE FROM string", "query only reads"},
    {"UPDATE string SET text = ''", "query only reads"},
    {"INSERT INTO string VALUES (99, 'x')", "query only reads"},
    {"DROP TABLE string", "query only reads"},
    {"CREATE TEMP TABLE t (a)", "query only reads"},
    {"ATTACH 'new.db' AS n", "query only reads"},
    {"VACUUM INTO 'new.db'", "query only reads"},
    {"PRAGMA user_version = 7", "query only reads"},
    {"PRAGMA journal_mode = WAL", "query only reads"},
    {"SELECT load_extension('x')", "not authorized"},
    {"SELEC 1", "near \"SELEC\": syntax error"},
    {"SELECT * FROM absent", "no such table: absent"},
    {"SELECT 1; DELETE FROM string", "one SQL statement at a time"},
    {" ; ", "empty"},
};

START_TEST(test_query_refuses)
{
    cli_database("t.db", rows);
    CLI("query", "t.db", refused[_i].sql);
    STATUS(1);
    ck_assert_str_eq(got.out, "");
    HAS(got.err, refused[_i].err);
    ck_assert(!cli_exists("new.db"));
    CLI("query", "t.db", "SELECT COUNT(*) AS n, MAX(length(text)) AS longest FROM string", "--format", "csv");
    ck_assert_str_eq(got.out, "n,longest\n6,8\n");
}
END_TEST

START_TEST(test_query_full_output)
{
    int saved = dup(1), status;
    pid_t pid;
    cli_database("t.db", rows);
    pid = fork();
    if (!pid) {
        dup2(open("/dev/full", O_WRONLY), 1);
        execl(cli_program(), "vramscope", "query", "t.db", "SELECT 1", (char *)NULL);
        _exit(99);
    }
    waitpid(pid, &status, 0);
    close(saved);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

Suite *make_cli_suite(void)
{
    Suite *s = suite_create("cli");
    TCase *c = tcase_create("commands");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_loop_test(c, test_usage, 0, sizeof usage / sizeof usage[0]);
    tcase_add_test(c, test_query_csv);
    tcase_add_test(c, test_query_json);
    tcase_add_test(c, test_query_table);
    tcase_add_loop_test(c, test_query_refuses, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(c, test_query_full_output);
    suite_add_tcase(s, c);
    return s;
}
