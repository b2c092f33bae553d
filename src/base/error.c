/* error.c - status texts, and the filling of a kvault_error. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/banned.h"

const char *kvault_version(void)
{
    return KVAULT_VERSION;
}

const char *kvault_status_text(kvault_status status)
{
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                                                \
    case name:                                                                                                         \
        return text;
        KVAULT_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

static void fill(kvault_error *reterr, kvault_status status, int64_t position, const char *fmt, va_list args)
{
    if (!reterr)
        return;
    reterr->status = status;
    reterr->sqlite_code = 0;
    reterr->os_code = 0;
    reterr->position = position;
    (void)vsnprintf(reterr->message, sizeof reterr->message, fmt, args);
}

kvault_status kvault__fail(kvault_error *reterr, kvault_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fill(reterr, status, -1, fmt, args);
    va_end(args);
    return status;
}

kvault_status kvault__fail_at(kvault_error *reterr, kvault_status status, int64_t position, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fill(reterr, status, position, fmt, args);
    va_end(args);
    return status;
}

kvault_status kvault__fail_nomem(kvault_error *reterr, size_t bytes)
{
    return kvault__fail(reterr, KVAULT_E_NOMEM, "could not allocate %zu bytes", bytes);
}
