/* clock.c - see clock.h. */
#include "base/clock.h"

#include <time.h>

#include "base/banned.h"

int64_t kvault__monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock and a valid pointer */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t kvault__wall_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* as above */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kvault__sleep_us(int64_t us)
{
    struct timespec span = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };

    (void)nanosleep(&span, NULL); /* a signal cuts it short: callers loop on their deadline */
}
