/* lock.c - the write lock of an engine: one writer at a time, named for those who wait.
 *
 * It barges: whoever comes while it is free takes it, since handing it over in turn
 * costs a third of the throughput; but once the first in the queue has waited for
 * 10 ms, newcomers queue behind it. It is not a mutex of base/lock.h because it is
 * held across calls (transaction(), lock_cache()), waits with a deadline, asks for
 * Ctrl-C, and tells who has it. */
#include "vault/engine_state.h"

#include "base/banned.h"

#define BARGE_NS 10000000   /* no waiter is passed for longer */
#define GLANCE_NS 50000000  /* how often a waiter looks for Ctrl-C */

struct storage_wait kvault__wait(kvault *vault)
{
    int64_t now = kvault__monotonic_ns();

    return (struct storage_wait){ .started_ns = now,
                                  .deadline_ns = now + vault->options.busy_timeout_ms * 1000000,
                                  .interrupted = vault->options.interrupted,
                                  .interrupted_ctx = vault->options.interrupted_ctx };
}

void kvault__write_lock_init(struct write_lock *lock)
{
    kvault__mutex_init(&lock->mutex);
    lock->held = false;
    lock->first = lock->last = NULL;
    atomic_store_explicit(&lock->holder, 0, memory_order_relaxed); /* nobody else has the engine yet */
}

static void take_locked(struct write_lock *lock, const char *what)
{
    lock->held = true;
    lock->what = what;
    lock->since_ns = kvault__monotonic_ns();
    /* Relaxed: only the holder itself compares it with its own mark. */
    atomic_store_explicit(&lock->holder, this_thread(), memory_order_relaxed);
}

static bool may_take_locked(const struct write_lock *lock, const struct waiter *me, int64_t now)
{
    return !lock->held && (!lock->first || lock->first == me || now - lock->first->since_ns < BARGE_NS);
}

static void queue_locked(struct write_lock *lock, struct waiter *me)
{
    if (lock->last)
        lock->last->next = me;
    else
        lock->first = me;
    lock->last = me;
}

static void unqueue_locked(struct write_lock *lock, struct waiter *me)
{
    struct waiter *before = NULL;

    for (struct waiter *at = lock->first; at != me; at = at->next)
        before = at;
    if (before)
        before->next = me->next;
    else
        lock->first = me->next;
    if (lock->last == me)
        lock->last = before;
    /* Whoever comes first now may have slept through the last release. */
    if (!lock->held && lock->first)
        kvault__cond_signal(&lock->first->wake);
}

static kvault_status fail_busy(const char *what, const char *holder, int64_t held_ns, int64_t waited_ns,
                               kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_BUSY,
                        "could not begin to %s: waited %.1f s for another thread of this process, which has been in %s "
                        "for %.1f s; end it sooner, or give a longer wait",
                        what, (double)waited_ns / 1e9, holder, (double)held_ns / 1e9);
}

kvault_status kvault__lock_writes(struct engine *engine, const char *what, const struct storage_wait *wait,
                                  kvault_error *reterr)
{
    struct write_lock *lock = &engine->write;
    struct waiter me = { 0 };
    kvault_status rc = KVAULT_OK;

    if (atomic_load_explicit(&lock->holder, memory_order_relaxed) == this_thread())
        return kvault__fail(reterr, KVAULT_E_REENTERED, "cannot %s from inside another call on the same file", what);
    kvault__mutex_acquire(&lock->mutex);
    if (may_take_locked(lock, NULL, wait->started_ns)) {
        take_locked(lock, what);
        kvault__mutex_release(&lock->mutex);
        return KVAULT_OK;
    }
    me.since_ns = kvault__monotonic_ns();
    kvault__cond_init(&me.wake);
    queue_locked(lock, &me);
    for (;;) {
        int64_t now = kvault__monotonic_ns();

        if (may_take_locked(lock, &me, now)) {
            take_locked(lock, what);
            break;
        }
        if (now >= wait->deadline_ns) {
            rc = fail_busy(what, lock->held ? lock->what : "the queue", lock->held ? now - lock->since_ns : 0,
                           now - wait->started_ns, reterr);
            break;
        }
        kvault__cond_wait_until(&me.wake, &lock->mutex,
                                wait->deadline_ns < now + GLANCE_NS ? wait->deadline_ns : now + GLANCE_NS);
        if (wait->interrupted && !may_take_locked(lock, &me, now)) {
            bool stop;

            kvault__mutex_release(&lock->mutex); /* the question may take a lock of the caller's */
            stop = wait->interrupted(wait->interrupted_ctx);
            kvault__mutex_acquire(&lock->mutex);
            if (stop) {
                rc = kvault__fail(reterr, KVAULT_E_INTERRUPTED, "interrupted while waiting to %s", what);
                break;
            }
        }
    }
    unqueue_locked(lock, &me);
    kvault__mutex_release(&lock->mutex);
    kvault__cond_destroy(&me.wake);
    return rc;
}

bool kvault__try_lock_writes(struct engine *engine, const char *what)
{
    struct write_lock *lock = &engine->write;
    bool taken;

    kvault__mutex_acquire(&lock->mutex);
    taken = !lock->held && !lock->first;
    if (taken)
        take_locked(lock, what);
    kvault__mutex_release(&lock->mutex);
    return taken;
}

void kvault__unlock_writes(struct engine *engine)
{
    struct write_lock *lock = &engine->write;

    kvault__mutex_acquire(&lock->mutex);
    lock->held = false;
    atomic_store_explicit(&lock->holder, 0, memory_order_relaxed);
    if (lock->first)
        kvault__cond_signal(&lock->first->wake);
    kvault__mutex_release(&lock->mutex);
}
