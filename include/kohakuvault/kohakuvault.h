/* kohakuvault.h - everything. Each header also stands alone.
 *
 * Threads: functions of vault.h, kv.h and column.h may be called from any thread; what is an
 * exception says so. Errors: see error.h. Bytes: a kvault_slice is borrowed, a
 * kvault_buf is owned. Nothing here prints, exits, or changes a signal. */
#ifndef KOHAKUVAULT_KOHAKUVAULT_H
#define KOHAKUVAULT_KOHAKUVAULT_H

#include "kohakuvault/base.h"
#include "kohakuvault/column.h"
#include "kohakuvault/csbtree.h"
#include "kohakuvault/dtype.h"
#include "kohakuvault/error.h"
#include "kohakuvault/kv.h"
#include "kohakuvault/packer.h"
#include "kohakuvault/skiplist.h"
#include "kohakuvault/vault.h"

#endif
