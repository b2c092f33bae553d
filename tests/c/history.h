/* history.h - what a writing process does, so that another can tell what is missing.
 *
 * The history of writer w is numbered entries w-00000000, w-00000001, ...: small ones, some in pieces.
 * Size and bytes of an entry follow from its writer and number. A step writes some entries and
 * ends with the call that acknowledges them.
 *
 * Behind each entry its number goes into two columns of the writer, numbers and texts, so that no column
 * may ever be longer than the entries are. Now and then a number in the middle is taken out and put back. */
#ifndef HISTORY_H
#define HISTORY_H

#include "kohakuvault/kohakuvault.h"

enum { HISTORY_VALUE_MAX = 900000 };
enum history_mode { HISTORY_PLAIN, HISTORY_CACHED, HISTORY_TRANSACTIONS, HISTORY_STREAMS, HISTORY_MODES };

uint32_t history_random(uint32_t *state);

/* Open the file with the default options, but for gather_writes, which processes have on and off at once; and with the
 * write cache on where the mode asks for it. */
kvault_status history_open(const char *path, enum history_mode mode, kvault **ret_vault, kvault_kv **ret_kv,
                           kvault_error *reterr);
/* Write entries from *number on, which is moved behind them. `bytes`: HISTORY_VALUE_MAX of scratch. */
kvault_status history_step(kvault *vault, kvault_kv *kv, int writer, int *number, enum history_mode mode,
                           uint8_t *bytes, uint32_t *seed, kvault_error *reterr);

/* Add to the writer's columns what a process that was killed between an entry and its numbers left out. */
kvault_status history_catch_up(kvault *vault, int writer, int length, kvault_error *reterr);
/* The writer's columns hold the numbers from 0 on, as many as *rows at least and no more than there are
 * entries; says on stdout what is not so. *rows becomes what both have. */
bool history_columns_are_right(kvault *vault, int writer, int *rows, int length);

/* The entry is there, every byte as written; says on stdout what is not. `got`, `want`: scratch as above. */
bool history_entry_is_right(kvault_kv *kv, int writer, int number, uint8_t *got, uint8_t *want);
/* How many entries of the writer there are, looking at those from `from` on; -1, and says why, where one
 * is missing or cannot be read. */
int history_length(kvault_kv *kv, int writer, int from);

#endif
