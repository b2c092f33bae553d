/* kv_state.h - a key-value table, and what its files share; for src/kv/ alone. */
#ifndef KVAULT_KV_KV_STATE_H
#define KVAULT_KV_KV_STATE_H

#include "kohakuvault/kv.h"
#include "vault/block.h"
#include "vault/engine.h"
#include "vault/structure.h"

struct kvault_kv {
    kvault *vault;
    struct engine *engine;
    const struct storage_space *space;
};

/* KVAULT_E_INVALID with the size and the limit. */
kvault_status kvault__kv_check_key(kvault_slice key, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__kv_check_value(const struct kvault_kv *kv, uint64_t size, kvault_error *reterr) KVAULT_MUST_USE;

/* May values of this table be kept in pieces? */
static inline bool kvault__kv_has_pieces(const struct storage_space *space)
{
    return space->layout == STORAGE_LAYOUT_OURS;
}

static inline bool kvault__kv_is_large(const struct storage_space *space, uint64_t size)
{
    return size > KVAULT_INLINE_BYTES_MAX && kvault__kv_has_pieces(space);
}

/* The checksum that goes with an inline value of the table. */
uint64_t kvault__kv_sum(const struct storage_space *space, kvault_slice key, kvault_slice value);
/* Does the inline value that a get found match its sum? Words name table and key. */
kvault_status kvault__kv_check_sum(const struct storage_space *space, kvault_slice key, const struct storage_cell *cell,
                                   kvault_error *reterr) KVAULT_MUST_USE;

/* A key as text for messages: quoted, shortened, unprintable bytes as \xNN. */
#define KEY_TEXT_BYTES 80
const char *kvault__kv_key_text(kvault_slice key, char buffer[KEY_TEXT_BYTES]);

/* The whole value of `key` into *ret_value, through a connection that sees one state. KVAULT_NOT_FOUND. */
kvault_status kvault__kv_load(struct reading *read, const struct storage_space *space, kvault_slice key,
                              kvault_buf *ret_value, kvault_error *reterr) KVAULT_MUST_USE;
/* Store or delete inside a transaction, whatever the old value is made of. */
kvault_status kvault__kv_store(struct writing *write, const struct storage_space *space, kvault_slice key,
                               kvault_slice value, kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__kv_remove(struct writing *write, const struct storage_space *space, kvault_slice key,
                                kvault_error *reterr) KVAULT_MUST_USE;
/* A view of the transaction for functions that read. */
struct reading kvault__kv_reading_of(struct writing *write);
/* After a commit, which may have retired something: sweep if it is time. */
void kvault__kv_tidy(kvault_kv *kv, bool retired);

/* structure.h: the pending entries of a table, into a transaction. */
kvault_status kvault__kv_write_pending(struct writing *write, const struct storage_space *space,
                                       struct pending_entry *const *entries, size_t count, kvault_error *reterr);

#endif
