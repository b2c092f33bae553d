/* operations.h - every public operation on a vault, as tables: what is done to them, others decide.
 *
 * Each starts from the contents that subject_fill() gives a new file. An operation that fails
 * undoes what it began (a transaction, a stream), so that what the vault holds afterwards is what it
 * held before, or what it holds after a success. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include <string.h>

#include "kohakuvault/kohakuvault.h"

struct subject {
    char path[256];
    char backup_path[256]; /* a backup is made there */
    bool without_wal;
    bool durable;  /* durability "full" */
    kvault *vault; /* NULL while closed */
    kvault_kv *kv;
    kvault_column *numbers, *texts; /* i64, bytes; NULL where the file has none */
    bool wrong;                     /* a call said that it was well and gave wrong bytes */
};

struct operation {
    const char *name;
    bool from_closed;  /* begins with the subject closed */
    bool from_nothing; /* there is no file yet */
    bool from_crash;   /* the file has a log that a dead process left */
    kvault_status (*prepare)(struct subject *subject, kvault_error *reterr); /* on the open subject; may be NULL */
    kvault_status (*run)(struct subject *subject, kvault_error *reterr);
};

extern const struct operation kv_operations[], column_operations[];
extern const int kv_operation_count, column_operation_count;

/* What a new file is filled with: so many keys "k00", "k01", ... of so many bytes and one more each, and a
 * "medium" and a "large" one; columns of so many elements. */
enum { SMALL_KEYS = 40, SMALL = 120, MEDIUM = 60000, LARGE = 300000, STREAM = 700000, NUMBERS = 20000, TEXTS = 1500 };

/* Open vault, table and columns; on failure none. */
kvault_status subject_open(struct subject *subject, kvault_error *reterr);
/* Close the vault, and free the handles on success. */
kvault_status subject_close(struct subject *subject, kvault_error *reterr);
kvault_status subject_fill(struct subject *subject, kvault_error *reterr);
/* What is in the vault, in a number: keys, values, columns and their elements, as this handle sees them. */
kvault_status subject_digest(struct subject *subject, uint64_t *ret_digest, kvault_error *reterr);
/* The part of it that is keys and values. */
kvault_status subject_digest_keys(kvault_kv *kv, bool reverse, uint64_t *ret_digest, kvault_error *reterr);

/* Bytes that differ from seed (below 8) to seed and from place to place; the first `size` of them. */
kvault_slice operation_bytes(size_t size, unsigned seed);

static inline kvault_slice text(const char *words)
{
    return (kvault_slice){ words, strlen(words) };
}

/* The next step of an operation that has not failed yet; `rc` is its status. */
#define STEP(call)                                                                                                     \
    do {                                                                                                               \
        if (rc >= 0)                                                                                                   \
            rc = (call);                                                                                               \
    } while (0)

#endif
