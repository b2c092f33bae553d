/* structure.h - what the vault asks of the structures that are built on it.
 *
 * kv/ and column/ stand above the vault, so it cannot include them; each gives it
 * one table of functions instead. The list of tables is in vault.c. */
#ifndef KVAULT_VAULT_STRUCTURE_H
#define KVAULT_VAULT_STRUCTURE_H

#include "vault/engine.h"
#include "vault/pending.h"

struct structure {
    /* Write the pending entries of one space, sorted by key, inside the transaction of
     * `write`. Called again with the same entries after a failure. */
    kvault_status (*write_pending)(struct writing *write, const struct storage_space *space,
                                   struct pending_entry *const *entries, size_t count, kvault_error *reterr);
    /* Check everything of this kind in the file, as `read` sees it. */
    kvault_status (*verify)(struct reading *read, void (*problem)(void *ctx, const char *where, const char *what),
                            void *problem_ctx, kvault_error *reterr);
};

extern const struct structure kvault__kv_structure;     /* kv/kv_verify.c */
extern const struct structure kvault__column_structure; /* column/pending.c */

#endif
