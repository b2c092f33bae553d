/* lock.c - see lock.h. A failing pthread call here is a bug of ours, hence the asserts. */
#include "base/lock.h"

#include <time.h>

#include "base/banned.h"

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        int code = (call);                                                                                             \
        assert(code == 0);                                                                                             \
        (void)code;                                                                                                    \
    } while (0)

void kvault__mutex_init(kvault__mutex *lock)
{
    MUST(pthread_mutex_init(&lock->mutex, NULL));
#ifndef NDEBUG
    lock->held = false;
#endif
}

void kvault__mutex_destroy(kvault__mutex *lock)
{
    MUST(pthread_mutex_destroy(&lock->mutex));
}

KVAULT_NO_LOCK_CHECK void kvault__mutex_acquire(kvault__mutex *lock)
{
    MUST(pthread_mutex_lock(&lock->mutex));
#ifndef NDEBUG
    lock->holder = pthread_self();
    lock->held = true;
#endif
}

KVAULT_NO_LOCK_CHECK bool kvault__mutex_try_acquire(kvault__mutex *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
#ifndef NDEBUG
    lock->holder = pthread_self();
    lock->held = true;
#endif
    return true;
}

KVAULT_NO_LOCK_CHECK void kvault__mutex_release(kvault__mutex *lock)
{
    KVAULT_ASSERT_HELD(lock);
#ifndef NDEBUG
    lock->held = false;
#endif
    MUST(pthread_mutex_unlock(&lock->mutex));
}

void kvault__cond_init(kvault__cond *cond)
{
    pthread_condattr_t attr;

    MUST(pthread_condattr_init(&attr));
    MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    MUST(pthread_cond_init(&cond->cond, &attr));
    MUST(pthread_condattr_destroy(&attr));
}

void kvault__cond_destroy(kvault__cond *cond)
{
    MUST(pthread_cond_destroy(&cond->cond));
}

KVAULT_NO_LOCK_CHECK void kvault__cond_wait_until(kvault__cond *cond, kvault__mutex *lock, int64_t deadline_ns)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_ns / 1000000000),
                              .tv_nsec = (long)(deadline_ns % 1000000000) };

    KVAULT_ASSERT_HELD(lock);
#ifndef NDEBUG
    lock->held = false;
#endif
    (void)pthread_cond_timedwait(&cond->cond, &lock->mutex, &until); /* a time-out is an ordinary wake */
#ifndef NDEBUG
    lock->holder = pthread_self();
    lock->held = true;
#endif
}

void kvault__cond_signal(kvault__cond *cond)
{
    MUST(pthread_cond_signal(&cond->cond));
}

void kvault__cond_broadcast(kvault__cond *cond)
{
    MUST(pthread_cond_broadcast(&cond->cond));
}
