/* clock.h - the two clocks: one that never jumps, for waits; one that names a date, for the file. */
#ifndef KVAULT_BASE_CLOCK_H
#define KVAULT_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that never goes back. Its zero means nothing. */
int64_t kvault__monotonic_ns(void);

/* Milliseconds since 1970, as the machine believes; it may jump. */
int64_t kvault__wall_ms(void);

/* Sleep, or less if a signal arrives. */
void kvault__sleep_us(int64_t us);

#endif
