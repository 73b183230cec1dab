/* SPDX-License-Identifier: MIT
 *
 * core_events.c: raises allocator events in every way that is hard for a recorder, and says on stdout how many it raised.
 * link: -ldl -lpthread
 *
 * core_events MODE [COUNT]: see the table at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct c10_device {
    int8_t type, index;
};
static void (*report)(void *, int64_t, size_t, size_t, struct c10_device);
static long count = 1000;
static size_t live;

/* Every pair leaves nothing; odd counts leave 512 bytes. */
static void event(long i)
{
    const struct c10_device cuda = {1, 0};
    int64_t bytes = i & 1 ? -512 : 512;
    if (!report)
        return;
    live += (size_t)bytes;
    report((void *)(uintptr_t)(0x100000 + i / 2 * 512), bytes, live, 1 << 20, cuda);
}

static void events(long n)
{
    long i;
    for (i = 0; i < n; i++)
        event(i);
    printf("%ld\n", n);
    fflush(stdout);
}

static int plain(void)
{
    errno = 77;
    events(count);
    return errno == 77 ? 0 : 3;
}

static int nothing(void)
{
    const struct c10_device cpu = {0, -1};
    if (report)
        report((void *)1, 64, 0, 0, cpu); /* host memory: not a reason to become active */
    return 0;
}

static int killed(void)
{
    events(count);
    return kill(getpid(), SIGKILL);
}

/* Goes on until it is killed from outside; stdout gets a line each thousand, after they were raised. */
static int endless(void)
{
    long i;
    for (i = 0;; i++) {
        event(i);
        if (i % 1000 == 999 && write(1, ".", 1) < 0)
            return 1;
    }
}

static int quick_exit_now(void)
{
    events(count);
    _exit(5);
}

static void *body(void *arg)
{
    const struct c10_device cuda = {1, 0};
    long i, n = count;
    uintptr_t base = (uintptr_t)arg;
    for (i = 0; i < n; i++)
        report((void *)(base + (uintptr_t)(i / 2) * 512), i & 1 ? -512 : 512, 0, 0, cuda);
    return NULL;
}

static int many_threads(void)
{
    pthread_t id[200];
    unsigned i;
    event(0); /* 200 threads in the first millisecond of a recording would find too few slabs, and be counted */
    event(1);
    usleep(100000);
    for (i = 0; i < 200; i++)
        pthread_create(&id[i], NULL, body, (void *)((uintptr_t)(i + 1) << 32));
    for (i = 0; i < 200; i++)
        pthread_join(id[i], NULL);
    printf("%ld\n", 2 + 200 * count);
    return 0;
}

static void *two(void *arg)
{
    const struct c10_device cuda = {1, 0};
    report(arg, 512, 0, 0, cuda);
    report(arg, -512, 0, 0, cuda);
    return NULL;
}

static int short_threads(void)
{
    long i, j;
    pthread_t id[8];
    for (i = 0; i < count; i += 8) {
        for (j = 0; j < 8; j++)
            pthread_create(&id[j], NULL, two, (void *)(uintptr_t)((i + j + 1) * 512));
        for (j = 0; j < 8; j++)
            pthread_join(id[j], NULL);
    }
    printf("%ld\n", 2 * i);
    return 0;
}

static int wait_child(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int forked(void)
{
    pid_t child;
    events(count);
    fflush(stdout);
    child = fork();
    if (!child) {
        events(count / 2);
        exit(0); /* the child's own log, closed in order */
    }
    event(0);
    event(1);
    return wait_child(child);
}

static int forked_idle(void)
{
    pid_t child;
    events(count);
    child = fork();
    if (!child)
        exit(0); /* raises nothing: must leave nothing */
    return wait_child(child);
}

static int raw_forked(void)
{
    pid_t child;
    events(count);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child) {
        long i;
        for (i = 0; i < count / 2; i++)
            event(i);
        _exit(0);
    }
    event(0);
    event(1);
    return wait_child(child);
}

static volatile sig_atomic_t handled;
static void handler(int sig)
{
    (void)sig;
    event(2 * handled); /* allocation */
    event(2 * handled + 1);
    handled++;
}

/* A timer's signals land anywhere, in the middle of an append too. */
static int signals(void)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    const struct c10_device cuda = {1, 1};
    struct itimerspec every = {{0, 50000}, {0, 50000}};
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    sigset_t alarm;
    long i, n = count * 100;
    sigaction(SIGALRM, &sa, NULL);
    timer_create(CLOCK_MONOTONIC, &how, &timer);
    timer_settime(timer, 0, &every, NULL);
    for (i = 0; i < n; i++)
        report((void *)(uintptr_t)0x2000, i & 1 ? -64 : 64, 0, 0, cuda);
    timer_delete(timer);
    /* One that has arrived is handled before the count is read, not between its reading and its printing: ThreadSanitizer keeps
     * signals back until the next call that it knows. */
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    usleep(1000);
    printf("%ld\n", n + 2 * (long)handled);
    return 0;
}

static int closes_everything(void)
{
    int fd, out;
    events(count);
    usleep(400000);
    for (fd = 3; fd < 1024; fd++)
        close(fd);
    out = open("/dev/null", O_WRONLY); /* takes the lowest number: ours must not be written to */
    events(count);
    usleep(400000);
    return out < 0 || lseek(out, 0, SEEK_CUR) != 0;
}

static int slow(void) /* for a full disk: lasts about two seconds */
{
    long i;
    for (i = 0; i < 20; i++) {
        long j;
        for (j = 0; j < count; j++)
            event(j);
        usleep(100000);
    }
    printf("%ld\n", 20 * count);
    return 0;
}

static int names(void)
{
    prctl(PR_SET_NAME, "pt_autograd_0");
    events(count);
    prctl(PR_SET_NAME, "renamed");
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} modes[] = {{"plain", plain},
             {"nothing", nothing},
             {"killed", killed},
             {"endless", endless},
             {"_exit", quick_exit_now},
             {"threads", many_threads},
             {"short", short_threads},
             {"fork", forked},
             {"fork-idle", forked_idle},
             {"raw-fork", raw_forked},
             {"signals", signals},
             {"close", closes_everything},
             {"slow", slow},
             {"names", names}};

int main(int argc, char **argv)
{
    size_t i;
    report = __extension__(void (*)(void *, int64_t, size_t, size_t, struct c10_device))
        dlsym(RTLD_DEFAULT, "_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE");
    if (argc > 2)
        count = atol(argv[2]);
    for (i = 0; i < sizeof modes / sizeof *modes; i++)
        if (argc > 1 && !strcmp(argv[1], modes[i].name))
            return modes[i].run();
    fprintf(stderr, "usage: core_events MODE [COUNT]\n");
    return 2;
}
