/* history.h - what a writing process does, so that another can tell what is missing.
 *
 * The history of writer w is numbered entries w-00000000, w-00000001, ...: small ones, some in pieces.
 * Size and bytes of an entry follow from its writer and number. A step writes some entries and
 * ends with the call that acknowledges them. */
#ifndef HISTORY_H
#define HISTORY_H

#include "kohakuvault/kohakuvault.h"

enum { HISTORY_VALUE_MAX = 900000 };
enum history_mode { HISTORY_PLAIN, HISTORY_CACHED, HISTORY_TRANSACTIONS, HISTORY_STREAMS, HISTORY_MODES };

uint32_t history_random(uint32_t *state);

/* Open the file with the default options, and with the write cache on where the mode asks for it. */
kvault_status history_open(const char *path, enum history_mode mode, kvault **ret_vault, kvault_kv **ret_kv,
                           kvault_error *reterr);
/* Write entries from *number on, which is moved behind them. `bytes`: HISTORY_VALUE_MAX of scratch. */
kvault_status history_step(kvault *vault, kvault_kv *kv, int writer, int *number, enum history_mode mode,
                           uint8_t *bytes, uint32_t *seed, kvault_error *reterr);

/* The entry is there, every byte as written; says on stdout what is not. `got`, `want`: scratch as above. */
bool history_entry_is_right(kvault_kv *kv, int writer, int number, uint8_t *got, uint8_t *want);
/* How many entries of the writer there are, looking at those from `from` on; -1, and says why, where one
 * is missing or cannot be read. */
int history_length(kvault_kv *kv, int writer, int from);

#endif
