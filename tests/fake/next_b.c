/* SPDX-License-Identifier: MIT
 *
 * next_b.c: the library that next_a.c stands before.
 */
int plain_answer(void);
int cuLikeAnswer(void);
int cuMemRelease(unsigned long long handle);

int plain_answer(void)
{
    return 41;
}
int cuLikeAnswer(void)
{
    return 141;
}
int cuMemRelease(unsigned long long handle)
{
    (void)handle;
    return 241;
}
