/* timestamp.h - dates as RFC 3339 text, which CBOR's tag 0 marks. */
#ifndef KVAULT_CODEC_TIMESTAMP_H
#define KVAULT_CODEC_TIMESTAMP_H

#include "kohakuvault/base.h"

#define KVAULT__DATE_TEXT_MAX 30 /* "9999-12-31T23:59:59.999999999Z" */

/* Seconds since 1970 and the nanoseconds after them. False for text that is not a
 * date of the years 1 to 9999, that has more than nine digits of fraction, or that
 * names a leap second: these have no such number. */
bool kvault__date_parse(kvault_slice text, int64_t *ret_seconds, uint32_t *ret_nanoseconds);

/* The date in UTC with the digits of fraction that it needs; returns the length.
 * `seconds` lies between KVAULT__DATE_MIN_S and KVAULT__DATE_MAX_S. */
size_t kvault__date_text(int64_t seconds, uint32_t nanoseconds, char ret_text[KVAULT__DATE_TEXT_MAX + 1]);

#endif
