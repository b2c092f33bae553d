/* fail.h - recording a failure, and leaving through the single exit. */
#ifndef KVAULT_BASE_FAIL_H
#define KVAULT_BASE_FAIL_H

#include "kohakuvault/error.h"

/* Record a failure and hand its status back, so that a check is one line.
 * `reterr` may be NULL. */
kvault_status kvault__fail(kvault_error *reterr, kvault_status status, const char *fmt, ...) KVAULT_PRINTF(3, 4);

/* The same for bytes that are wrong at `position`. */
kvault_status kvault__fail_at(kvault_error *reterr, kvault_status status, int64_t position, const char *fmt, ...)
    KVAULT_PRINTF(4, 5);

/* Out of memory, with what was wanted. */
kvault_status kvault__fail_nomem(kvault_error *reterr, size_t bytes);

/* Leave through the single exit when a step fails. Needs `rc` and `out:`. */
#define TRY(step)                                                                                                      \
    do {                                                                                                               \
        rc = (step);                                                                                                   \
        if (rc < 0)                                                                                                    \
            goto out;                                                                                                  \
    } while (0)

#endif
