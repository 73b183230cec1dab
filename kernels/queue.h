/* SPDX-License-Identifier: MIT
 *
 * queue.h: streams beside the one a program computes on, and events that order them and tell times. On the CPU there is one order,
 * that of the calls: streams are NULL, and events are moments of the wall clock.
 *
 * Ownership: the opener's until close. Threading: as the device's (device.h): one thread at a time, of the device that was current when
 * they were opened. Errors: 0 or -errno; the device's last_error says more.
 */
#ifndef VS_KERNELS_QUEUE_H
#define VS_KERNELS_QUEUE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vs_queue {
    /* waits for no other stream by itself; urgent: where both have work, the device takes this stream's first */
    int (*open)(void **stream, bool urgent);
    void (*close)(void *stream); /* NULL is fine */
    int (*event_open)(void **event, bool timed); /* timed: ms() may ask for it; costs a little more each time */
    void (*event_close)(void *event);           /* NULL is fine */
    int (*record)(void *event, void *stream);   /* here: all that was queued before */
    int (*follow)(void *stream, void *event);   /* what is queued from now on waits for it; one never recorded is passed */
    int (*ms)(void *first, void *last, double *ms); /* between two recorded events that are timed; waits for `last` */
    /* tell(arg) is called once the stream has come to here, on a thread of the driver's (CPU: at once), and makes no device call. */
    int (*tell)(void *stream, void (*tell)(void *arg), void *arg);
};

extern const struct vs_queue vs_queue_cpu;
/* In libvramscope_kernels.so only: reached through vs_device_cuda()->queue. */
extern const struct vs_queue vs_queue_cuda;

#ifdef __cplusplus
}
#endif
#endif
