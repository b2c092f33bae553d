/* instant.h - aware datetimes as seconds and nanoseconds since 1970, and back.
 *
 * The module `datetime` is imported when the first of them is met. */
#ifndef KVPY_INSTANT_H
#define KVPY_INSTANT_H

#include "state.h"

/* Whether the object is a datetime. False with an exception if the import fails. */
bool kvpy_is_datetime(kvpy_state *state, PyObject *object);

/* The instant of a datetime. Asks its time zone, which may be foreign code. False with an exception:
 * WrongType without a time zone, OverflowError for an instant before year 1 or after 9999 in UTC. */
bool kvpy_instant_of_datetime(kvpy_state *state, PyObject *datetime, int64_t *ret_seconds, int32_t *ret_nanoseconds);

/* Whether a datetime can hold that instant without loss. */
bool kvpy_instant_is_datetime(int64_t seconds, int32_t nanoseconds);
/* The datetime of such an instant, in UTC; new. */
PyObject *kvpy_datetime_of_instant(kvpy_state *state, int64_t seconds, int32_t nanoseconds);

#endif
