/* SPDX-License-Identifier: MIT
 *
 * driver_lookup.c: looks functions up in every way a program can, and checks that it gets what it would get without a
 * recorder, or (for driver functions that exist) the recorder's wrapper. Argument: 1 when preloaded, 0 when not.
 * link: -Wl,--no-as-needed -l:libnext_a.so -l:libnext_b.so -ldl */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int plain_answer(void);
int cuLikeAnswer(void);
void *next_a_early(void);
int cuMemAlloc_v2(uint64_t *, size_t) __attribute__((weak));

static int preloaded;

#define CHECK(condition)                                       \
    do {                                                       \
        if (!(condition)) {                                    \
            printf("line %d: %s\n", __LINE__, #condition);     \
            exit(1);                                           \
        }                                                      \
    } while (0)

static const char *library_of(void *p)
{
    Dl_info info;
    const char *slash;
    if (!p || !dladdr(p, &info))
        return "none";
    slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

/* Nobody has the name: NULL, and dlerror says which was missing. */
static void check_missing(void *handle, const char *name)
{
    const char *error;
    dlerror();
    errno = 77;
    CHECK(dlsym(handle, name) == NULL);
    error = dlerror();
    CHECK(error && strstr(error, name));
}

static void *many(void *arg)
{
    int i;
    for (i = 0; i < 20000; i++) {
        CHECK(dlsym(RTLD_DEFAULT, "strlen") != NULL);
        CHECK(dlsym(RTLD_DEFAULT, "cuMemFree_v2") == NULL);
        CHECK(dlsym(RTLD_DEFAULT, "cuNoSuchThing") == NULL);
        CHECK(dlsym(RTLD_DEFAULT, "cublasLtMatmul") == NULL && dlerror());
    }
    return arg;
}

static void without_driver(void)
{
    static const char *const names[] = {"cuMemAlloc_v2", "cuGetProcAddress", "cuNoSuchThing", "noSuchThing", "ncclAllReduce",
                                        "cuptiSubscribe", "ncclNoSuchThing"};
    pthread_t t[4];
    uint64_t p;
    size_t i;

    CHECK(plain_answer() == 42);
    CHECK(cuLikeAnswer() == 142);
    CHECK(next_a_early() != NULL && !strcmp(library_of(next_a_early()), "libnext_b.so"));
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        check_missing(RTLD_DEFAULT, names[i]);
        check_missing(RTLD_NEXT, names[i]);
        check_missing(dlopen(NULL, RTLD_LAZY), names[i]);
    }
    for (i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, many, NULL);
    for (i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK((cuMemAlloc_v2 != NULL) == preloaded);
    if (cuMemAlloc_v2)
        CHECK(cuMemAlloc_v2(&p, 100) == 3);
}

/* The function a tool between us and the driver stands in front of: from there, the next one is the next one. */
static void third_library(void)
{
    void *handle = dlopen("libnext_a.so", RTLD_LAZY | RTLD_NOLOAD);
    int (*release)(unsigned long long) = NULL;
    CHECK(handle);
    *(void **)&release = dlsym(handle, "cuMemRelease");
    CHECK(release && !strcmp(library_of(*(void **)&release), "libnext_a.so"));
    CHECK(release(0) == 242);
    CHECK(!strcmp(library_of(dlsym(RTLD_DEFAULT, "plain_answer")), "libnext_a.so"));
}

typedef int (*get_fn)(const char *, void **, int, uint64_t, int *);

static void with_driver(void)
{
    const char *ours = preloaded ? "libvramscope.so" : "libcuda.so.1";
    void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *p = NULL, *v1 = NULL;
    get_fn get, nested = NULL;
    int status = -1;

    CHECK(handle);
    CHECK(!strcmp(library_of(dlsym(handle, "cuMemAlloc_v2")), ours));
    CHECK(!strcmp(library_of(dlsym(handle, "cuInit")), "libcuda.so.1"));
    check_missing(handle, "cuNoSuchThing");
    *(void **)&get = dlsym(handle, "cuGetProcAddress_v2");
    CHECK(get && !strcmp(library_of(*(void **)&get), ours));
    CHECK(get("", &p, 0, 0, NULL) != 0 && !p);
    CHECK(get("cuGetProcAddress", (void **)&nested, 12000, 0, &status) == 0 && status == 0);
    CHECK(*(void **)&nested == *(void **)&get);
    CHECK(nested("cuMemAlloc", &p, 3020, 0, NULL) == 0 && p == dlsym(handle, "cuMemAlloc_v2"));
    CHECK(nested("cuMemAllocAsync", &p, 11020, 2, NULL) == 0 && p == dlsym(handle, "cuMemAllocAsync_ptsz"));
    CHECK(nested("cuDevicePrimaryCtxReset", &v1, 7000, 0, NULL) == 0 && v1 == dlsym(handle, "cuDevicePrimaryCtxReset"));
    CHECK(!strcmp(library_of(v1), ours));
    CHECK(nested("cuInit", &p, 2000, 0, NULL) == 0 && !strcmp(library_of(p), "libcuda.so.1"));
    CHECK(nested("cuNoSuchThing", &p, 12000, 0, &status) != 0 && status == 1 && !p);
    /* opened for itself alone, the driver is not in the global scope */
    if (!preloaded)
        check_missing(RTLD_DEFAULT, "cuMemAlloc_v2");
    CHECK(dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == handle);
    CHECK(!strcmp(library_of(dlsym(RTLD_DEFAULT, "cuMemAlloc_v2")), ours));
}

int main(int argc, char **argv)
{
    preloaded = argc > 1 && argv[1][0] == '1';
    without_driver();
    third_library();
    with_driver();
    puts("same");
    return 0;
}
