/* kv_operations.h - every public operation on a vault and its keys, as a table: what is done to them, others decide.
 *
 * Each starts from the contents that operation_fill() gives a new file. An operation that
 * fails undoes what it began (a transaction, a stream), so that what the vault holds
 * afterwards is what it held before, or what it holds after a success. */
#ifndef KV_OPERATIONS_H
#define KV_OPERATIONS_H

#include "kohakuvault/kohakuvault.h"

struct subject {
    char path[256];
    char backup_path[256]; /* a backup is made there */
    bool without_wal;
    bool durable;  /* durability "full" */
    kvault *vault; /* NULL while closed */
    kvault_kv *kv;
    bool wrong; /* a call said that it was well and gave wrong bytes */
};

struct operation {
    const char *name;
    bool from_closed;  /* begins with the subject closed */
    bool from_nothing; /* there is no file yet */
    bool from_crash;   /* the file has a log that a dead process left */
    kvault_status (*prepare)(struct subject *subject, kvault_error *reterr); /* on the open subject; may be NULL */
    kvault_status (*run)(struct subject *subject, kvault_error *reterr);
};

extern const struct operation operations[];
extern const int operation_count;

/* Open vault and table; on failure neither. */
kvault_status subject_open(struct subject *subject, kvault_error *reterr);
/* Close both, and free the handles on success. */
kvault_status subject_close(struct subject *subject, kvault_error *reterr);
/* What is in the vault, in a number: keys, sizes and bytes, as this handle sees them. */
kvault_status subject_digest(struct subject *subject, uint64_t *ret_digest, kvault_error *reterr);
/* The contents that every operation but those from_nothing starts with. */
kvault_status operation_fill(struct subject *subject, kvault_error *reterr);

#endif
