/* SPDX-License-Identifier: MIT
 *
 * cupti_exports.c: stands before libcupti's functions for everybody but ourselves, so that the program's own profiler is
 * seen coming and going. Must never change what such a call does for its caller.
 */
#include <string.h>

#include "cupti.h"
#include "cupti_foreign.h"
#include "export.h"
#include "lookup.h"
#include "src_cupti.h"

/* X(name, (parameters), (arguments), comes): every wrapped function. comes: the caller is about to use CUPTI itself, so
 * ours goes out first. */
#define WRAPPED(X)                                                                                                      \
    X(cuptiSubscribe, (vs_cupti_subscriber * s, vs_cupti_callback_fn fn, void *user), (s, fn, user), true)              \
    X(cuptiSubscribe_v2, (vs_cupti_subscriber * s, vs_cupti_callback_fn fn, void *user, void *more), (s, fn, user, more), \
      true)                                                                                                             \
    X(cuptiUnsubscribe, (vs_cupti_subscriber s), (s), false)                                                            \
    X(cuptiEnableCallback, (uint32_t on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid), (on, s, domain, cbid), \
      false)                                                                                                            \
    X(cuptiEnableDomain, (uint32_t on, vs_cupti_subscriber s, uint32_t domain), (on, s, domain), false)                 \
    X(cuptiEnableAllDomains, (uint32_t on, vs_cupti_subscriber s), (on, s), false)                                      \
    X(cuptiActivityRegisterCallbacks, (vs_cupti_request_fn request, vs_cupti_complete_fn complete), (request, complete), \
      true)                                                                                                             \
    X(cuptiActivityRegisterTimestampCallback, (vs_cupti_clock_fn fn), (fn), true)                                       \
    X(cuptiActivityEnable, (uint32_t kind), (kind), true)                                                               \
    X(cuptiActivityEnableAndDump, (uint32_t kind), (kind), true)                                                        \
    X(cuptiActivityEnableContext, (void *context, uint32_t kind), (context, kind), true)                                \
    X(cuptiActivityDisable, (uint32_t kind), (kind), false)                                                             \
    X(cuptiActivityDisableContext, (void *context, uint32_t kind), (context, kind), false)                              \
    X(cuptiActivitySetAttribute, (uint32_t id, size_t *bytes, void *value), (id, bytes, value), true)                   \
    X(cuptiSetThreadIdType, (uint32_t type), (type), true)                                                              \
    X(cuptiActivityFlushAll, (uint32_t flag), (flag), false)                                                            \
    X(cuptiFinalize, (void), (), true)

enum wrapped {
#define X(name, parameters, arguments, comes) W_##name,
    WRAPPED(X)
#undef X
    NWRAPPED
};
static const struct {
    const char *name;
    bool comes;
} wrapped[] = {
#define X(name, parameters, arguments, comes) {#name, comes},
    WRAPPED(X)
#undef X
};
static void *real[NWRAPPED]; /* atomic */

static void *find_real(enum wrapped which)
{
    static const char *const sonames[] = {"libcupti.so.13", "libcupti.so.12", NULL};
    void *fn = __atomic_load_n(&real[which], __ATOMIC_RELAXED);
    if (!fn) {
        fn = vs_lookup(wrapped[which].name, sonames);
        __atomic_store_n(&real[which], fn, __ATOMIC_RELAXED);
    }
    return fn;
}

/* What every wrapper begins with. False: the call is passed on untouched, and nothing is noted. */
static bool arrives(enum wrapped which, const void *caller)
{
    if (!vs_cupti_planned())
        return false;
    vs_foreign_enter();
    if (wrapped[which].comes)
        vs_cupti_step_aside(caller);
    return true;
}

#define X(name, parameters, arguments, comes) VS_EXPORT uint32_t name parameters;
WRAPPED(X)
#undef X

/* ---- subscription ---- */

uint32_t cuptiSubscribe(vs_cupti_subscriber *s, vs_cupti_callback_fn fn, void *user)
{
    uint32_t (*call)(vs_cupti_subscriber *, vs_cupti_callback_fn, void *) = find_real(W_cuptiSubscribe);
    vs_cupti_subscriber held;
    uint32_t err;

    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    if (!s || !fn || !arrives(W_cuptiSubscribe, __builtin_return_address(0)))
        return call(s, fn, user);
    held = vs_foreign_subscriber();
    if (!held)
        vs_foreign_subscribing(fn, user);
    err = call(s, held ? fn : vs_deliver_callback, user);
    if (!held)
        vs_foreign_subscribed(err ? NULL : *s);
    vs_foreign_leave();
    return err;
}

uint32_t cuptiSubscribe_v2(vs_cupti_subscriber *s, vs_cupti_callback_fn fn, void *user, void *more)
{
    uint32_t (*call)(vs_cupti_subscriber *, vs_cupti_callback_fn, void *, void *) = find_real(W_cuptiSubscribe_v2);
    vs_cupti_subscriber held;
    uint32_t err;

    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    if (!s || !fn || !arrives(W_cuptiSubscribe_v2, __builtin_return_address(0)))
        return call(s, fn, user, more);
    held = vs_foreign_subscriber();
    if (!held)
        vs_foreign_subscribing(fn, user);
    err = call(s, held ? fn : vs_deliver_callback, user, more);
    if (!held)
        vs_foreign_subscribed(err ? NULL : *s);
    vs_foreign_leave();
    return err;
}

uint32_t cuptiUnsubscribe(vs_cupti_subscriber s)
{
    uint32_t (*call)(vs_cupti_subscriber) = find_real(W_cuptiUnsubscribe);
    bool noted = call && arrives(W_cuptiUnsubscribe, NULL);
    uint32_t err = call ? call(s) : VS_CUPTI_NOT_INITIALIZED, domain;

    if (!noted)
        return err;
    if (!err && s == vs_foreign_subscriber()) {
        vs_foreign_subscribed(NULL);
        for (domain = 0; domain < VS_CUPTI_DOMAINS; domain++)
            vs_foreign_enable_callbacks(false, domain, 0, VS_CUPTI_CBIDS);
    }
    vs_foreign_leave();
    return err;
}

/* ---- its callbacks: driver calls may be among those we enabled under its subscription ---- */

/* Notes what it enables before it can fire, and what it disables after it stopped. */
struct choice {
    uint32_t domains[2], cbids[2]; /* first, last */
    bool on, noted;
};

static void choose(struct choice *c, enum wrapped which, const void *caller)
{
    uint32_t domain;
    c->noted = arrives(which, caller);
    if (!c->noted)
        return;
    if (c->domains[0] <= VS_CUPTI_DOMAIN_DRIVER && c->domains[1] >= VS_CUPTI_DOMAIN_DRIVER)
        vs_cupti_step_aside(caller);
    for (domain = c->domains[0]; c->on && domain <= c->domains[1]; domain++)
        vs_foreign_enable_callbacks(true, domain, c->cbids[0], c->cbids[1]);
}

static uint32_t chosen(const struct choice *c, uint32_t err)
{
    uint32_t domain;
    if (!c->noted)
        return err;
    for (domain = c->domains[0]; c->on == (err != 0) && domain <= c->domains[1]; domain++)
        vs_foreign_enable_callbacks(false, domain, c->cbids[0], c->cbids[1]);
    vs_foreign_leave();
    return err;
}

uint32_t cuptiEnableCallback(uint32_t on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid)
{
    uint32_t (*call)(uint32_t, vs_cupti_subscriber, uint32_t, uint32_t) = find_real(W_cuptiEnableCallback);
    struct choice c = {{domain, domain}, {cbid, cbid}, on != 0, false};
    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    choose(&c, W_cuptiEnableCallback, __builtin_return_address(0));
    return chosen(&c, call(on, s, domain, cbid));
}

uint32_t cuptiEnableDomain(uint32_t on, vs_cupti_subscriber s, uint32_t domain)
{
    uint32_t (*call)(uint32_t, vs_cupti_subscriber, uint32_t) = find_real(W_cuptiEnableDomain);
    struct choice c = {{domain, domain}, {0, VS_CUPTI_CBIDS}, on != 0, false};
    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    choose(&c, W_cuptiEnableDomain, __builtin_return_address(0));
    return chosen(&c, call(on, s, domain));
}

uint32_t cuptiEnableAllDomains(uint32_t on, vs_cupti_subscriber s)
{
    uint32_t (*call)(uint32_t, vs_cupti_subscriber) = find_real(W_cuptiEnableAllDomains);
    struct choice c = {{0, VS_CUPTI_DOMAINS - 1}, {0, VS_CUPTI_CBIDS}, on != 0, false};
    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    choose(&c, W_cuptiEnableAllDomains, __builtin_return_address(0));
    return chosen(&c, call(on, s));
}

/* ---- its activities ---- */

uint32_t cuptiActivityRegisterCallbacks(vs_cupti_request_fn request, vs_cupti_complete_fn complete)
{
    uint32_t (*call)(vs_cupti_request_fn, vs_cupti_complete_fn) = find_real(W_cuptiActivityRegisterCallbacks);
    uint32_t err;

    if (!call)
        return VS_CUPTI_NOT_INITIALIZED;
    if (!request || !complete || !arrives(W_cuptiActivityRegisterCallbacks, __builtin_return_address(0)))
        return call(request, complete);
    vs_foreign_set_buffers(request, complete);
    err = call(vs_deliver_request, vs_deliver_complete);
    vs_foreign_leave();
    return err;
}

uint32_t cuptiActivityRegisterTimestampCallback(vs_cupti_clock_fn fn)
{
    uint32_t (*call)(vs_cupti_clock_fn) = find_real(W_cuptiActivityRegisterTimestampCallback);
    bool noted = call && arrives(W_cuptiActivityRegisterTimestampCallback, __builtin_return_address(0));
    uint32_t err = call ? call(fn) : VS_CUPTI_NOT_INITIALIZED;

    if (noted && !err)
        vs_foreign_set_clock(fn);
    if (noted)
        vs_foreign_leave();
    return err;
}

/* Calls that need nothing but a note after they succeeded. */
#define NOTED(name, parameters, arguments, note)                                         \
    uint32_t name parameters                                                             \
    {                                                                                    \
        uint32_t(*call) parameters = find_real(W_##name);                                \
        bool noted = call && arrives(W_##name, __builtin_return_address(0));             \
        uint32_t err = call ? call arguments : VS_CUPTI_NOT_INITIALIZED;                 \
        if (noted && !err)                                                               \
            note;                                                                        \
        if (noted)                                                                       \
            vs_foreign_leave();                                                          \
        return err;                                                                      \
    }
NOTED(cuptiActivityEnable, (uint32_t kind), (kind), vs_foreign_set_kind(kind, true))
NOTED(cuptiActivityEnableAndDump, (uint32_t kind), (kind), vs_foreign_set_kind(kind, true))
NOTED(cuptiActivityEnableContext, (void *context, uint32_t kind), (context, kind), vs_foreign_set_kind(kind, true))
NOTED(cuptiActivityDisable, (uint32_t kind), (kind), vs_foreign_set_kind(kind, false))
NOTED(cuptiActivityDisableContext, (void *context, uint32_t kind), (context, kind), vs_foreign_set_kind(kind, false))
NOTED(cuptiActivitySetAttribute, (uint32_t id, size_t *bytes, void *value), (id, bytes, value), (void)0)
NOTED(cuptiSetThreadIdType, (uint32_t type), (type), (void)0)
NOTED(cuptiActivityFlushAll, (uint32_t flag), (flag), vs_foreign_flushed())
NOTED(cuptiFinalize, (void), (), vs_foreign_finalized())

/* ---- for programs that look cupti up themselves ---- */

void *vs_cupti_wrapper(const char *name, void *found)
{
    static void *const wrappers[] = {
#define X(fn, parameters, arguments, comes) __extension__(void *) fn,
        WRAPPED(X)
#undef X
    };
    size_t i;

    if (!vs_cupti_planned() || !found)
        return found;
    for (i = 0; i < NWRAPPED; i++)
        if (!strcmp(name, wrapped[i].name)) {
            if (found != wrappers[i] && !find_real((enum wrapped)i))
                __atomic_store_n(&real[i], found, __ATOMIC_RELAXED);
            return wrappers[i];
        }
    return found;
}
