/* kvtest.h - a test program in TAP: functions named as sentences, checks that say what they saw.
 *
 *     static void a_miss_leaves_the_output_alone(void) { ... CHECK(x == 1); ... }
 *     int main(void) { RUN(a_miss_leaves_the_output_alone); return kvtest_end(); }
 */
#ifndef KVTEST_H
#define KVTEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kohakuvault/error.h"

static int kvtest_count, kvtest_failures;
static bool kvtest_ok;

static inline const char *kvtest_words(const kvault_error *err)
{
    return err ? err->message : "";
}

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                                        \
            kvtest_ok = false;                                                                                         \
        }                                                                                                              \
    } while (0)

/* A place that must not be reached, and why. */
#define CHECK_NEVER(why)                                                                                               \
    do {                                                                                                               \
        printf("# %s:%d: %s\n", __FILE__, __LINE__, why);                                                             \
        kvtest_ok = false;                                                                                             \
    } while (0)

/* The call ends with this status; on another one the words are printed. */
#define CHECK_STATUS(call, want, err)                                                                                  \
    do {                                                                                                               \
        kvault_status kvtest_got = (call);                                                                             \
        if (kvtest_got != (want)) {                                                                                    \
            printf("# %s:%d: %s: got %d (%s), want %d: %s\n", __FILE__, __LINE__, #call, kvtest_got,                   \
                   kvault_status_text(kvtest_got), (int)(want), kvtest_words(err));                                    \
            kvtest_ok = false;                                                                                         \
        }                                                                                                              \
    } while (0)

#define CHECK_OK(call, err) CHECK_STATUS(call, KVAULT_OK, err)
#define CHECK_MESSAGE(err, part) CHECK(strstr((err)->message, part) != NULL || (printf("# message: %s\n", (err)->message), false))

#define RUN(function)                                                                                                  \
    do {                                                                                                               \
        kvtest_ok = true;                                                                                              \
        function();                                                                                                    \
        kvtest_count++;                                                                                                \
        kvtest_failures += !kvtest_ok;                                                                                 \
        printf("%s %d - %s\n", kvtest_ok ? "ok" : "not ok", kvtest_count, #function);                                  \
        fflush(stdout);                                                                                                \
    } while (0)

/* What cannot be tried here, and why. */
#define SKIP(what, why) printf("ok %d - %s # SKIP %s\n", ++kvtest_count, what, why)

static inline int kvtest_end(void)
{
    printf("1..%d\n", kvtest_count);
    return kvtest_failures != 0;
}

/* alloc_fault.c: the heap of the tests. */
void kvtest_alloc_fail_at(long nth); /* the nth allocation from now fails, and the ones behind it; 0: none */
long kvtest_alloc_count(void);       /* allocations asked for since the last call of kvtest_alloc_fail_at */
long kvtest_alloc_live(void);        /* blocks not yet freed */
void kvtest_alloc_pause(bool pause); /* meanwhile nothing fails, nothing is counted as asked for */

/* Run `body` with the 1st, 2nd, 3rd... allocation failing until it succeeds.
 * After each failure the heap must hold what it held before. `body` returns its
 * status, frees all it made, and checks nothing but what holds on both ways. */
static inline void kvtest_each_alloc_fails(kvault_status (*body)(void *), void *argument)
{
    long live = kvtest_alloc_live();

    for (long nth = 1;; nth++) {
        kvault_status rc;

        kvtest_alloc_fail_at(nth);
        rc = body(argument);
        bool reached = kvtest_alloc_count() >= nth;
        kvtest_alloc_fail_at(0);
        CHECK(kvtest_alloc_live() == live);
        if (!reached) {
            CHECK(rc >= 0);
            return;
        }
        CHECK(rc == KVAULT_E_NOMEM || rc >= 0);
        if (!kvtest_ok || nth > 100000) {
            printf("# stopped at allocation %ld\n", nth);
            CHECK(nth <= 100000);
            return;
        }
    }
}

#endif
