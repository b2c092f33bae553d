/* flusher.c - the thread that flushes in the background, one an engine, started when first needed.
 *
 * It flushes after flush_interval without a write, and ends an engine whose last handle
 * was freed by a finalizer. It knows nothing of Python. A failure is kept for the next
 * call that writes or flushes; the writes stay pending and it tries again. */
#include "vault/engine_state.h"

#include <signal.h>

#include "base/alloc.h"
#include "base/banned.h"

#define FAR_NS ((int64_t)3600 * 1000000000)

kvault_status kvault__take_background_error(struct engine *engine, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    kvault__mutex_acquire(&engine->pending_lock);
    if (engine->background_error.status < 0) {
        rc = engine->background_error.status;
        if (reterr)
            *reterr = engine->background_error;
        engine->background_error.status = KVAULT_OK;
    }
    kvault__mutex_release(&engine->pending_lock);
    return rc;
}

/* When the pending writes fall due; far away if there are none. */
static int64_t due_locked(const struct engine *engine)
{
    bool any = engine->active.entries || engine->frozen.entries;

    return any && engine->flush_interval_ns ? engine->last_write_ns + engine->flush_interval_ns
                                            : kvault__monotonic_ns() + FAR_NS;
}

static void flush_quietly(struct engine *engine)
{
    /* A handle of its own, in the engine's name: it counts for nothing and is never seen. */
    kvault self = { .engine = engine, .options = engine->options, .state = HANDLE_OPEN, .caching = 0 };
    kvault_error err = KVAULT_ERROR_INIT;

    self.options.read_only = false;
    self.options.interrupted = NULL;
    self.options.warn = NULL;
    if (kvault__flush_engine(&self, NULL, &err) >= 0)
        return;
    kvault__mutex_acquire(&engine->pending_lock);
    engine->background_error = err;
    engine->last_write_ns = kvault__monotonic_ns(); /* the next try is an interval away */
    kvault__mutex_release(&engine->pending_lock);
}

static void *flusher_main(void *argument)
{
    struct engine *engine = argument;

    kvault__mutex_acquire(&engine->pending_lock);
    while (!engine->flusher_stop) {
        int64_t due = due_locked(engine);

        if (engine->abandoned_by_all) {
            engine->abandoned_by_all = false;
            kvault__mutex_release(&engine->pending_lock);
            flush_quietly(engine);
            if (kvault__engine_close_abandoned(engine))
                return NULL;
            kvault__mutex_acquire(&engine->pending_lock);
        } else if (kvault__monotonic_ns() >= due) {
            kvault__mutex_release(&engine->pending_lock);
            flush_quietly(engine);
            kvault__mutex_acquire(&engine->pending_lock);
        } else {
            kvault__cond_wait_until(&engine->flusher_wake, &engine->pending_lock, due);
        }
    }
    kvault__mutex_release(&engine->pending_lock);
    return NULL;
}

/* Start it, with every signal blocked: those are the program's. Without a thread the next
 * flush of the program does the work. */
void kvault__flusher_need_locked(struct engine *engine)
{
    sigset_t all, before;

    KVAULT_ASSERT_HELD(&engine->pending_lock);
    if (!engine->flusher_runs) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        engine->flusher_stop = false;
        engine->flusher_runs = pthread_create(&engine->flusher, NULL, flusher_main, engine) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    kvault__cond_signal(&engine->flusher_wake);
}

void kvault__flusher_stop(struct engine *engine)
{
    bool runs;

    kvault__mutex_acquire(&engine->pending_lock);
    runs = engine->flusher_runs;
    engine->flusher_stop = true;
    kvault__cond_signal(&engine->flusher_wake);
    kvault__mutex_release(&engine->pending_lock);
    if (runs)
        (void)pthread_join(engine->flusher, NULL);
    engine->flusher_runs = false;
}
