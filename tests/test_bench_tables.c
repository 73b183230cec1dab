/* SPDX-License-Identifier: MIT
 *
 * test_bench_tables.c: the tables of `vramscope bench norms`, from results made by hand.
 */
#include "bench_case.h"

Suite *make_bench_tables_suite(void);

START_TEST(test_tables)
{
    if (bench_no_nvtx()) return;
    CLI("bench", "norms");
    STATUS(0);
    HAS(got.out, "NORMS  bf16, B=2 d=32 p=16 on ");
    HAS(got.out, "MEMORY  temporary MiB, from the recording\n");
    HAS(got.out, "     512        5.000      0.00286            0            -            -      1748x          2x\n");
    HAS(got.out, "     512        0.250       0.0625        0.125            -       0.0625      4.00x       1.57x\n");
    HAS(got.out, "     512     1.5 0.20     6.0 0.80          - -          - -     6.0 0.80     0.0500        gram\n");
    HAS(got.out, "the bound is 1e-04");
    HAS(got.out, " 2.0e-03!");
    HAS(got.out, "SKIPPED  materialize, T=512: 3 GiB asked, \"2\" free: use gram\n");
    HAS(got.out, "\nKAPPA ");
    HAS(got.out, "     512          3.5          3.5            -            -            -\n");
    HAS(got.out, "\nAGAIN  gram, T=512: 2 samples computed again from the gradient\n");
    HAS_NOT(got.out, "AGAIN  gram_full");
    HAS(got.out, "LOSSES  none\nnext: vramscope plot norms.db -o charts\n");
    HAS_NOT(got.out, "progress");
    CLI("bench", "norms"); /* again: beside it */
    STATUS(0);
    HAS(got.out, "next: vramscope plot norms-2.db -o charts\n");
}
END_TEST

START_TEST(test_tables_of_many_layers)
{
    if (bench_no_nvtx()) return;
    bench_write("rows",
                HEADER "\nauto,cpu,bf16,grouped,216,1,512,,,ok,,0.5,0.6,,,0.25,,0.5,,,,,,4096,direct:216,,gpt2-large\n"
                       "materialize,cpu,bf16,each,216,1,512,,,ok,,2,3,,,0.25,,0.125,,,,,,4096,,,gpt2-large\n"
                       "auto,cpu,bf16,each,216,1,1024,,,ok,,7,8,,,0.25,,0.125,,,,,,4096,,,gpt2-large\n");
    CLI("bench", "norms");
    STATUS(0);
    HAS(got.out, "GROUPED  gpt2-large, 216 layers, bf16, B=1 T=512 on cpu");
    HAS(got.out, "at once  auto                  0.500          1            0.600          1       0.50");
    HAS(got.out, "each     materialize           2.000      4.00x            3.000      5.00x       0.12");
    HAS(got.out, "each     auto                  7.000          -            8.000          -       0.12");
    HAS_NOT(got.out, "NORMS");
    CLI("bench", "norms", "--csv");
    STATUS(0);
    HAS(got.err, "the first is of all layers at once (grouped), the second layer by layer (each); --json names them");
}
END_TEST

/* Infinite as asked: nothing is wrong, and the error is of the other samples. Infinite though nobody asked; not compared. */
START_TEST(test_marks)
{
    if (bench_no_nvtx()) return;
    bench_write("rows", HEADER "\na,cpu,fp32,one,1,2,8,4,4,nonfinite,as asked,1,,,,,,,2e-7,1e-5,,,,,,,\n"
                               "b,cpu,fp32,one,1,2,8,4,4,nonfinite,,1,,,,,,,,1e-5,,,,,,,\n"
                               "c,cpu,fp32,one,1,2,8,4,4,unchecked,the oracle: no memory,1,,,,,,,,1e-5,,,,,,,\n"
                               "d,cpu,fp32,one,1,2,8,4,4,beyond_bound,,1,,,,,,,2e-5,1e-5,,,,,,,\n");
    CLI("bench", "norms");
    STATUS(0);
    HAS(got.out, "       8      2.0e-07   nonfinite!            -     2.0e-05!\n");
    HAS(got.out, "\nUNCHECKED  c, T=8: the oracle: no memory\n");
}
END_TEST

START_TEST(test_hostile_names)
{
    if (bench_no_nvtx()) return;
    bench_write(
        "rows", HEADER
        "\n\"\033[31mred\n\"\"q\"\",\",cpu,$(touch pwned),one,1,1,8,1,1,ok,\xff,1,,,,,,,nan,,,,,77,`x`,\033]0;t\a,\n"
        "x,cpu,\xe5\x89\x8d\xe5\x90\x91,one,1,1,8,1,1,skipped,\"\033[2Jgone\",1,,,,,,,inf,,,,,,,,\n");
    CLI("bench", "norms", "--csv");
    STATUS(0);
    HAS(got.out, "\n\"\033[31mred\n\"\"q\"\",\",cpu,$(touch pwned),1,8,1,1,1.0,77,,,\n"); /* data is data */
    HAS(got.err, "       T \\x1b[31mred\342\200\246");
    HAS(got.err, "x1b[2Jgone");
    ck_assert_ptr_null(strchr(got.err, '\033'));
    ck_assert_int_eq(bench_number("norms.db", "SELECT rel_err IS NULL FROM norm_result"), 1);
    ck_assert(!cli_exists("pwned"));
}
END_TEST

Suite *make_bench_tables_suite(void)
{
    Suite *s = suite_create("bench_tables");
    TCase *c = tcase_create("tables");
    tcase_add_checked_fixture(c, bench_folder, cli_clean);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_tables);
    tcase_add_test(c, test_tables_of_many_layers);
    tcase_add_test(c, test_marks);
    tcase_add_test(c, test_hostile_names);
    suite_add_tcase(s, c);
    return s;
}
