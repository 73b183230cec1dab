/* SPDX-License-Identifier: MIT
 *
 * test_paper.c: `vramscope export` of experiments as tables, and the formats for documents
 * with names that would be commands. Must never ask for a number that no result holds.
 */
#include "../exporters/exporter.h"
#include "outcome_case.h"

Suite *make_paper_suite(void);

/* ---- the formats themselves ---- */

static const struct {
    const char *format, *sql, *text;
} exports[] = {
    {"markdown", "SELECT 'a' AS name, 1.5 AS n, NULL AS m",
     "| name | n | m |\n| --- | ---: | ---: |\n| a | 1.5 | - |\n"},
    {"markdown", "SELECT 'x' AS a WHERE 0", "| a |\n| --- |\n"},
    {"markdown", "SELECT '1.50' AS a, '1.5x' AS b, '' AS c, x'31' AS d",
     "| a | b | c | d |\n| ---: | --- | --- | --- |\n| 1.50 | 1.5x |  | 1 |\n"},
    {"markdown", "SELECT 'a|b' || char(10) || '| c' AS \"x|y\"", "| x\\|y |\n| --- |\n| a\\|b\\\\n\\| c |\n"},
    {"markdown", "SELECT 'flash_clip _a_ *b* <b> [l](u) `c` ~~ \\ & # $'", NULL},
    {"latex", "SELECT 'a' AS name, 2 AS n UNION ALL SELECT 'b', NULL",
     "\\begin{tabular}{lr}\n\\toprule\nname & n \\\\\n\\midrule\na & 2 \\\\\nb & -- \\\\\n\\bottomrule\n\\end{tabular}\n"},
    {"latex", "SELECT 1 AS a WHERE 0",
     "\\begin{tabular}{l}\n\\toprule\na \\\\\n\\midrule\n\\bottomrule\n\\end{tabular}\n"},
    {"latex", "SELECT '&%$#_{}' AS a",
     "\\begin{tabular}{l}\n\\toprule\na \\\\\n\\midrule\n\\&\\%\\$\\#\\_\\{\\} \\\\\n\\bottomrule\n\\end{tabular}\n"},
    {"latex", "SELECT '\\input{/etc/passwd}' AS \"~^\"",
     "\\begin{tabular}{l}\n\\toprule\n\\textasciitilde{}\\textasciicircum{} \\\\\n\\midrule\n\\textbackslash{}input\\{/etc/passwd\\} \\\\\n"
     "\\bottomrule\n\\end{tabular}\n"},
    {"latex", "SELECT '[3em]' AS a UNION ALL SELECT '*x' UNION ALL SELECT 'a' || char(10, 27) || '<\"|>'",
     "\\begin{tabular}{l}\n\\toprule\na \\\\\n\\midrule\n{}[3em] \\\\\n{}*x \\\\\na\\textbackslash{}n\\textbackslash{}x1b\\textless{}\\char34{}"
     "\\textbar{}\\textgreater{} \\\\\n\\bottomrule\n\\end{tabular}\n"},
};

static char *export_rows(const char *format, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    struct vs_error e = {""};
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    ck_assert_msg(!vs_export_rows(vs_exporter_find(format), db, q, out, &e), "%s", e.text);
    fclose(out);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return text;
}

START_TEST(test_formats)
{
    char *text = export_rows(exports[_i].format, exports[_i].sql);
    if (exports[_i].text) ck_assert_str_eq(text, exports[_i].text);
    else HAS(text, "\n| flash_clip \\_a\\_ \\*b\\* \\<b\\> \\[l\\](u) \\`c\\` \\~\\~ \\\\ \\& \\# \\$ |\n");
    free(text);
}
END_TEST

/* Whatever the name, a row has its two cells and no character that acts. */
START_TEST(test_any_byte_stays_in_its_cell)
{
    for (int c = 1; c < 256; c++) {
        char sql[128], *markdown, *latex, *row;
        snprintf(sql, sizeof sql, "SELECT CAST(x'61%02x62' AS TEXT) AS n, 1 AS one", c);
        markdown = export_rows("markdown", sql);
        latex = export_rows("latex", sql);
        int bars = 0, lines = 0, ends = 0;
        for (char *p = markdown; *p; p++) lines += *p == '\n', bars += *p == '|' && (p == markdown || p[-1] != '\\');
        ck_assert_msg(lines == 3 && bars == 9, "byte %d: %s", c, markdown);
        row = strstr(latex, "\\midrule\n") + 9;
        for (char *p = row; strncmp(p, "\\bottomrule", 11); p++) {
            ends += *p == '\n';
            ck_assert_msg((unsigned char)*p >= ' ' || *p == '\n', "byte %d: %s", c, latex);
            ck_assert_msg(!strchr("%$#_~^\"<>|", *p) || p[-1] == '\\', "byte %d: %s", c, latex);
        }
        ck_assert_msg(ends == 1 && strstr(row, " & 1 \\\\\n"), "byte %d: %s", c, latex);
        free(markdown), free(latex);
    }
}
END_TEST

/* ---- the tables ---- */

START_TEST(test_the_rows_of_the_notes)
{
    CLI("export", NOTES);
    STATUS(0);
    ck_assert_str_eq(got.out, "| Method | Peak Memory (MB) | Avg Time (ms) | Peak / Vanilla | Time / Vanilla |\n"
                              "| --- | ---: | ---: | ---: | ---: |\n"
                              "| vanilla | 43407.78 | 7091.97 | 1.000 | 1.000 |\n"
                              "| flash_clip | 56816.12 | 7831.43 | 1.309 | 1.104 |\n"
                              "| ghost | 56992.12 | 17489.43 | 1.313 | 2.466 |\n");
    CLI("export", NOTES, "--format", "latex");
    STATUS(0);
    HAS(got.out, "\\begin{tabular}{lrrrr}\n\\toprule\nMethod & Peak Memory (MB) & Avg Time (ms) & ");
    HAS(got.out, "\nflash\\_clip & 56816.12 & 7831.43 & 1.309 & 1.104 \\\\\n");
    CLI("export", NOTES, "--format", "csv");
    STATUS(0);
    HAS(got.out,
        "experiment,mode,seq_len,status,reason,peak_bytes,peak_memory_mb,avg_time_ms,median_time_ms,peak_over_vanilla,"
        "time_over_vanilla\nvanilla,,16384,ok,,45516356321,43407.78,7091.97,,1.0,1.0\n");
    CLI("export", NOTES, "--table", "components");
    STATUS(1);
    HAS(got.err, "does not say what its memory was");
    ck_assert_str_eq(got.out, "");
}
END_TEST

static void run_folder(void)
{
    ck_assert_int_eq(mkdir("run", 0700), 0);
    RESULT("run/a_result.json", .name = "ghost", .process = 3, .activation = 100 * MIB);
    RESULT("run/b_result.json", .name = "flash", .process = 2, .activation = 71 * MIB, .ms = 14, .seed = 7);
    RESULT("run/c_result.json", .name = "plain", .mode = "vanilla", .process = 4);
    RESULT("run/d_result.json", .name = "micro", .process = 1, .status = "failed", .reason = "killed");
}

START_TEST(test_order_overhead_and_failures)
{
    run_folder();
    CLI("export", "run", "-f", "markdown");
    STATUS(0);
    ck_assert_str_eq(got.out, "| Method | Peak Memory (MB) | Avg Time (ms) | Peak / Vanilla | Time / Vanilla |\n"
                              "| --- | ---: | ---: | ---: | ---: |\n"
                              "| plain | 160.00 | 11.00 | 1.000 | 1.000 |\n"
                              "| micro | failed | - | - | - |\n"
                              "| flash | 171.00 | 15.00 | 1.069 | 1.364 |\n"
                              "| ghost | 200.00 | 11.00 | 1.250 | 1.000 |\n"
                              "\n"
                              "| Component (MB) | plain | flash | ghost |\n"
                              "| --- | ---: | ---: | ---: |\n"
                              "| Model Parameters | 100.00 | 100.00 | 100.00 |\n"
                              "| Optimizer States | 0.00 | 0.00 | 0.00 |\n"
                              "| Gradients | 0.00 | 0.00 | 0.00 |\n"
                              "| Activation Hooks | 60.00 | 71.00 | 100.00 |\n"
                              "| Norm Samples | 0.00 | 0.00 | 0.00 |\n"
                              "| Temp Matrices | 0.00 | 0.00 | 0.00 |\n"
                              "| Peak | 160.00 | 171.00 | 200.00 |\n");
    CLI("export", "run", "-f", "json", "--table", "components");
    STATUS(0);
    HAS(got.out, "{\"component_mb\":\"activation_hooks\",\"plain\":60.0,\"flash\":71.0,\"ghost\":100.0}");
    CLI("export", "run", "-f", "json");
    STATUS(0);
    HAS(got.out,
        "{\"experiment\":\"micro\",\"mode\":\"micro\",\"seq_len\":128,\"status\":\"failed\",\"reason\":\"killed\"");
    HAS_NOT(got.out, "component");
}
END_TEST

START_TEST(test_lengths_have_vanillas_of_their_own)
{
    const struct result in[] = {{.name = "ghost", .seq_len = 512, .activation = 120 * MIB},
                                {.name = "vanilla", .seq_len = 512, .activation = 100 * MIB},
                                {.name = "ghost", .seq_len = 64},
                                {.name = "ghost", .seq_len = 64, .layers = 9}};
    result_store("suite.db", in, 4);
    CLI("export", "suite.db", "--table", "experiments");
    STATUS(0);
    ck_assert_str_eq(got.out, "| Method | T | Peak Memory (MB) | Avg Time (ms) | Peak / Vanilla | Time / Vanilla |\n"
                              "| --- | ---: | ---: | ---: | ---: | ---: |\n"
                              "| ghost | 64 | 160.00 | 11.00 | - | - |\n"
                              "| ghost | 64 | 160.00 | 11.00 | - | - |\n"
                              "| vanilla | 512 | 200.00 | 11.00 | 1.000 | 1.000 |\n"
                              "| ghost | 512 | 220.00 | 11.00 | 1.100 | 1.000 |\n");
    CLI("export", "suite.db", "--table", "components", "-f", "csv");
    STATUS(0);
    HAS(got.out, "component_mb,\"ghost, T=64\",\"ghost, T=64\",\"vanilla, T=512\",\"ghost, T=512\"\n");
}
END_TEST

START_TEST(test_another_device_has_no_overhead)
{
    char text[4096];
    const char *name;
    ck_assert_int_eq(mkdir("run", 0700), 0);
    RESULT("run/vanilla_result.json", .name = "vanilla");
    result_text(text, sizeof text, (struct result){.name = "ghost"});
    ck_assert_ptr_nonnull(name = strstr(text, "a CPU"));
    memcpy(text + (name - text), "B", 1);
    file_write("run/ghost_result.json", text);
    CLI("export", "run", "--table", "experiments");
    STATUS(0);
    HAS(got.out, "| ghost | 160.00 | 11.00 | - | - |\n");
}
END_TEST

START_TEST(test_recordings_have_tables_too)
{
    recording_write("a.db", 2, 1073741824, 20000000,
                    "UPDATE phase SET end_ns = begin_ns + 60000000 WHERE iteration = 2; INSERT INTO phase(process_id, name,"
                    " iteration, begin_ns, end_ns, origin) VALUES (1, 'forward', 3, 3000000000, 3060000000, 'nvtx')");
    CLI("export", "a.db", "-f", "json", "--table", "experiments");
    STATUS(0);
    HAS(got.out, "\"median_time_ms\":40.0,"); /* of four */
    HAS(got.out, "\"median_time_ms\":20.0,"); /* of three */
    recording_write("b.db", 2, 1073741824, 20000000, "");
    ck_assert_int_eq(rename("b.db", "a.db"), 0);
    CLI("export", "a.db", "-f", "markdown");
    STATUS(0);
    HAS(got.out, "| rank 0 | 2048.00 | 20.00 | - | - |\n| rank 1 | 2048.00 | 20.00 | - | - |\n");
    HAS(got.out, "| parameter | 1024.00 | 1024.00 |\n| Peak | 2048.00 | 2048.00 |\n");
    CLI("export", "a.db"); /* a recording's own export stays what it was */
    STATUS(1);
    HAS(got.err, "a.db holds no Python stacks; record with: vramscope run --python-lines");
}
END_TEST

START_TEST(test_hostile_names_in_tables)
{
    ck_assert_int_eq(mkdir("run", 0700), 0);
    RESULT("run/a_result.json", .name = "\\\\input{x}\\\" & $1|\\n[2]");
    RESULT("run/b_result.json", .name = "\\\"; DROP TABLE outcome; --");
    CLI("export", "run", "-f", "latex");
    STATUS(0);
    HAS(got.out, "\n\\textbackslash{}input\\{x\\}\\char34{} \\& \\$1\\textbar{}\\textbackslash{}n[2] & 160.00 & ");
    HAS(got.out, " & \\char34{}; DROP TABLE outcome; -- \\\\\n\\midrule\nModel Parameters & 100.00 & 100.00");
    CLI("export", "run", "-f", "markdown");
    STATUS(0);
    HAS(got.out, "\n| \\\\input{x}\" \\& \\$1\\|\\\\n\\[2\\] | 160.00 |");
    CLI("export", "run", "-f", "csv");
    STATUS(0);
    HAS(got.out, "\n\"\\input{x}\"\" & $1|\n[2]\",");
}
END_TEST

START_TEST(test_files_are_whole_or_not_there)
{
    run_folder();
    CLI("export", "run", "-f", "latex", "-o", "t.tex");
    STATUS(0);
    ck_assert_str_eq(got.out, "");
    cli_read("t.tex", got.out, sizeof got.out);
    HAS(got.out, "\\end{tabular}\n\n\\begin{tabular}");
    CLI("export", NOTES, "--table", "components", "-o", "none.tex");
    STATUS(1);
    ck_assert(!cli_exists("none.tex") && !cli_exists("none.tex.part"));
    CLI("export", "run", "-o", "missing/t.md");
    STATUS(1);
    HAS(got.err, "cannot write missing/t.md: ");
    ck_assert_int_eq(symlink("/dev/null", "nothing"), 0);
    CLI("export", "run", "-o", "nothing");
    STATUS(0);
    ck_assert_int_gt(readlink("nothing", got.out, sizeof got.out), 0); /* no file took its place */
}
END_TEST

START_TEST(test_usage)
{
    run_folder();
    CLI("export", "run", "-f", "xml");
    STATUS(2);
    CLI("export", "run", "-f", "collapsed", "--table", "components");
    STATUS(2);
    HAS(got.err, "--table goes with --format markdown, latex, csv or json");
    CLI("export", "run", "-f", "csv", "--rank", "0");
    STATUS(2);
    HAS(got.err, "--rank goes with --format collapsed");
    CLI("export", "run", "--table", "component");
    STATUS(2);
    HAS(got.err, "did you mean components?");
    CLI("export", "run", "-f", "collapsed");
    STATUS(1);
    HAS(got.err, "run holds results; stacks are in a recording");
    CLI("export");
    STATUS(2);
    CLI("export", "gone.json", "-f", "csv");
    STATUS(1);
    HAS(got.err, "cannot read gone.json");
}
END_TEST

Suite *make_paper_suite(void)
{
    Suite *s = suite_create("paper");
    TCase *c = tcase_create("formats");
    tcase_add_loop_test(c, test_formats, 0, sizeof exports / sizeof exports[0]);
    tcase_add_test(c, test_any_byte_stays_in_its_cell);
    suite_add_tcase(s, c);
    c = tcase_create("tables");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, test_the_rows_of_the_notes);
    tcase_add_test(c, test_order_overhead_and_failures);
    tcase_add_test(c, test_lengths_have_vanillas_of_their_own);
    tcase_add_test(c, test_another_device_has_no_overhead);
    tcase_add_test(c, test_recordings_have_tables_too);
    tcase_add_test(c, test_hostile_names_in_tables);
    tcase_add_test(c, test_files_are_whole_or_not_there);
    tcase_add_test(c, test_usage);
    suite_add_tcase(s, c);
    return s;
}
