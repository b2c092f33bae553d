/* lock.h - a mutex that knows its holder, and a condition that waits on the clock that never jumps.
 *
 * docs/locking.md gives each lock a level; locks are taken in rising order. */
#ifndef KVAULT_BASE_LOCK_H
#define KVAULT_BASE_LOCK_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define KVAULT_CAPABILITY __attribute__((capability("mutex")))
#define KVAULT_REQUIRES(lock) __attribute__((requires_capability(lock)))
#define KVAULT_ACQUIRES(lock) __attribute__((acquire_capability(lock)))
#define KVAULT_RELEASES(lock) __attribute__((release_capability(lock)))
#define KVAULT_TRY_ACQUIRES(lock) __attribute__((try_acquire_capability(true, lock)))
#define KVAULT_NO_LOCK_CHECK __attribute__((no_thread_safety_analysis))
#else
#define KVAULT_CAPABILITY
#define KVAULT_REQUIRES(lock)
#define KVAULT_ACQUIRES(lock)
#define KVAULT_RELEASES(lock)
#define KVAULT_TRY_ACQUIRES(lock)
#define KVAULT_NO_LOCK_CHECK
#endif

typedef struct KVAULT_CAPABILITY kvault__mutex {
    pthread_mutex_t mutex;
#ifndef NDEBUG
    pthread_t holder; /* meaningful while held */
    bool held;
#endif
} kvault__mutex;

typedef struct kvault__cond {
    pthread_cond_t cond;
} kvault__cond;

void kvault__mutex_init(kvault__mutex *lock);
void kvault__mutex_destroy(kvault__mutex *lock);
void kvault__mutex_acquire(kvault__mutex *lock) KVAULT_ACQUIRES(*lock);
/* False: somebody has it. */
bool kvault__mutex_try_acquire(kvault__mutex *lock) KVAULT_TRY_ACQUIRES(*lock);
void kvault__mutex_release(kvault__mutex *lock) KVAULT_RELEASES(*lock);

void kvault__cond_init(kvault__cond *cond);
void kvault__cond_destroy(kvault__cond *cond);
/* Let go of `lock`, wait to be woken or until `deadline_ns` of kvault__monotonic_ns(),
 * take `lock` again. May wake for no reason: callers loop. */
void kvault__cond_wait_until(kvault__cond *cond, kvault__mutex *lock, int64_t deadline_ns) KVAULT_REQUIRES(*lock);
void kvault__cond_signal(kvault__cond *cond);
void kvault__cond_broadcast(kvault__cond *cond);

#ifndef NDEBUG
#define KVAULT_ASSERT_HELD(lock) assert((lock)->held && pthread_equal((lock)->holder, pthread_self()))
#else
#define KVAULT_ASSERT_HELD(lock) ((void)0)
#endif

#endif
