/* limits.h - what the formats themselves allow. The limits that callers meet
 * (depth, dtype sizes) are in the public headers. */
#ifndef KVAULT_CODEC_LIMITS_H
#define KVAULT_CODEC_LIMITS_H

#include <stdint.h>

/* MessagePack counts and sizes are 32 bits wide. */
#define KVAULT__MSGPACK_SIZE_MAX UINT32_MAX

#define KVAULT__NANOSECONDS_MAX 999999999

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what a date can be written for. */
#define KVAULT__DATE_MIN_S (-INT64_C(62135596800))
#define KVAULT__DATE_MAX_S INT64_C(253402300799)

#endif
