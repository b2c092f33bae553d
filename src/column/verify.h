/* verify.h - everything about columns that can be wrong in a file. */
#ifndef KVAULT_COLUMN_VERIFY_H
#define KVAULT_COLUMN_VERIFY_H

#include "column/edit.h"

kvault_status kvault__columns_verify(struct reading *read,
                                     void (*problem)(void *ctx, const char *where, const char *what), void *problem_ctx,
                                     kvault_error *reterr) KVAULT_MUST_USE;

#endif
