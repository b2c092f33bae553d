/* pending.c - cached appends on their way into the file. See vault/structure.h. */
#include "vault/pending.h"

#include "base/bytes.h"
#include "column/edit.h"
#include "column/verify.h"
#include "base/banned.h"

/* A column that was deleted meanwhile takes its pending elements along: they were appended before. */
static kvault_status write_tail(struct writing *write, const struct pending_entry *entry, kvault_error *reterr)
{
    const struct pending_tail *tail = entry->tail;
    kvault_elements elements = { tail->data.data,
                                 tail->offsets.size ? (const uint64_t *)(const void *)tail->offsets.data : NULL,
                                 tail->count };
    struct edit edit;
    kvault_status rc;

    TRY(kvault__edit_enter(write, kvault__load_be64(entry->key), &edit, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return KVAULT_OK;
    rc = kvault__edit_append(&edit, &elements, reterr);
    if (rc >= 0)
        rc = kvault__edit_store(&edit, reterr);
    kvault__edit_leave(&edit);
out:
    return rc;
}

static kvault_status write_pending(struct writing *write, const struct storage_space *space,
                                   struct pending_entry *const *entries, size_t count, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    (void)space;
    for (size_t i = 0; i < count && rc >= 0; i++)
        rc = write_tail(write, entries[i], reterr);
    return rc;
}

const struct structure kvault__column_structure = { .write_pending = write_pending, .verify = kvault__columns_verify };
