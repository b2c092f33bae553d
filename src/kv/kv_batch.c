/* kv_batch.c - many keys in one call: one transaction for writes, one state of the file for reads. */
#include "kv/kv_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/banned.h"

#define BATCH_OPS 64
#define GUESS_BYTES 65536

/* Writes `count` pairs in order. Runs of small values go in one batch of operations each; one that meets
 * a value in pieces is written the long way, in its place. */
struct batch {
    struct storage_op ops[BATCH_OPS];
    size_t count;
    bool retired;
};

static kvault_status batch_run(struct batch *batch, struct writing *write, kvault_error *reterr)
{
    kvault_status rc;

    if (!batch->count)
        return KVAULT_OK;
    TRY(kvault__write_run(write, batch->ops, batch->count, reterr));
    for (size_t i = 0; i < batch->count && rc >= 0; i++) {
        struct storage_op *op = &batch->ops[i];

        if (op->outcome != STORAGE_HELD)
            continue;
        batch->retired = true;
        if (op->kind == STORAGE_PUT)
            rc = kvault__kv_store(write, op->space, op->key, op->cell.value, reterr);
        else
            rc = kvault__kv_remove(write, op->space, op->key, reterr);
    }
    batch->count = 0;
out:
    return rc < 0 ? rc : KVAULT_OK;
}

static kvault_status batch_put(struct batch *batch, struct writing *write, const struct storage_space *space,
                               kvault_slice key, kvault_slice value, bool tombstone, kvault_error *reterr)
{
    struct storage_op *op;
    kvault_status rc = KVAULT_OK;

    if (!tombstone && kvault__kv_is_large(space, value.size)) {
        TRY(batch_run(batch, write, reterr));
        batch->retired = true;
        return kvault__kv_store(write, space, key, value, reterr);
    }
    op = &batch->ops[batch->count++];
    *op = (struct storage_op){ .kind = tombstone ? STORAGE_DELETE : STORAGE_PUT, .keep_blob = true, .space = space };
    op->key = key;
    op->cell = (struct storage_cell){ .value = value, .size = value.size };
    if (!tombstone)
        op->cell.checksum = kvault__kv_sum(space, key, value);
    if (batch->count == BATCH_OPS)
        rc = batch_run(batch, write, reterr);
out:
    return rc;
}

kvault_status kvault__kv_write_pending(struct writing *write, const struct storage_space *space,
                                       struct pending_entry *const *entries, size_t count, kvault_error *reterr)
{
    struct batch batch = { .count = 0 };
    kvault_status rc = KVAULT_OK;

    for (size_t i = 0; i < count; i++)
        TRY(batch_put(&batch, write, space, (kvault_slice){ entries[i]->key, entries[i]->key_size },
                      (kvault_slice){ entries[i]->value, entries[i]->value_size }, entries[i]->tombstone, reterr));
    TRY(batch_run(&batch, write, reterr));
out:
    return rc;
}

static kvault_status put_many_pending(kvault_kv *kv, const kvault_kv_pair *pairs, size_t count, kvault_error *reterr)
{
    struct pending_write *writes = NULL;
    size_t bytes;
    kvault_status rc;

    if (!kvault__mul(count, sizeof *writes, &bytes))
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%zu pairs exceed memory", count);
    writes = kvault__alloc(bytes);
    if (!writes)
        return kvault__fail_nomem(reterr, bytes);
    for (size_t i = 0; i < count; i++)
        writes[i] = (struct pending_write){ pairs[i].key, pairs[i].value, 0, false };
    rc = kvault__pending_put(kv->vault, kv->space, &kvault__kv_structure, writes, count, reterr);
    kvault__free(writes);
    return rc;
}

kvault_status kvault_kv_put_many(kvault_kv *kv, const kvault_kv_pair *pairs, size_t count, kvault_error *reterr)
{
    struct batch batch = { .count = 0 };
    struct writing write;
    kvault_status rc = KVAULT_OK;

    TRY(kvault__check_writable(kv->vault, reterr));
    for (size_t i = 0; i < count; i++) {
        TRY(kvault__kv_check_key(pairs[i].key, reterr));
        TRY(kvault__kv_check_value(kv, pairs[i].value.size, reterr));
    }
    if (!count)
        return KVAULT_OK;
    if (kvault__caches(kv->vault)) {
        rc = put_many_pending(kv, pairs, count, reterr);
        if (rc != KVAULT_END)
            return rc;
    }
    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "put_many", &write, reterr));
    for (size_t i = 0; i < count && rc >= 0; i++)
        rc = batch_put(&batch, &write, kv->space, pairs[i].key, pairs[i].value, false, reterr);
    if (rc >= 0)
        rc = batch_run(&batch, &write, reterr);
    TRY(kvault__write_end(&write, rc, reterr));
    kvault__kv_tidy(kv, batch.retired);
out:
    return rc;
}

static int compare_writes(const void *a, const void *b)
{
    return kvault__key_compare(((const struct pending_write *)a)->key, ((const struct pending_write *)b)->key);
}

/* Tombstones for those that are there, each once; then pending together. KVAULT_END: they cannot be pending. */
static kvault_status delete_many_pending(kvault_kv *kv, const kvault_slice *keys, size_t count, size_t *ret_deleted,
                                         kvault_error *reterr)
{
    struct pending_write *writes = NULL;
    size_t bytes, there = 0, distinct = 0;
    kvault_status rc;

    if (!kvault__mul(count, sizeof *writes, &bytes))
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "%zu keys exceed memory", count);
    writes = kvault__alloc(bytes);
    if (!writes)
        return kvault__fail_nomem(reterr, bytes);
    for (size_t i = 0; i < count; i++) {
        TRY(kvault_kv_exists(kv, keys[i], reterr));
        if (rc == KVAULT_OK)
            writes[there++] = (struct pending_write){ .key = keys[i], .tombstone = true };
    }
    qsort(writes, there, sizeof *writes, compare_writes);
    for (size_t i = 0; i < there; i++) {
        if (!distinct || compare_writes(&writes[distinct - 1], &writes[i]) != 0)
            writes[distinct++] = writes[i];
    }
    rc = distinct ? kvault__pending_put(kv->vault, kv->space, &kvault__kv_structure, writes, distinct, reterr)
                  : KVAULT_OK;
    *ret_deleted = distinct;
out:
    kvault__free(writes);
    return rc;
}

kvault_status kvault_kv_delete_many(kvault_kv *kv, const kvault_slice *keys, size_t count, size_t *ret_deleted,
                                    kvault_error *reterr)
{
    struct writing write;
    size_t deleted = 0;
    kvault_status rc = KVAULT_OK;

    TRY(kvault__check_writable(kv->vault, reterr));
    for (size_t i = 0; i < count; i++)
        TRY(kvault__kv_check_key(keys[i], reterr));
    *ret_deleted = 0;
    if (!count)
        return KVAULT_OK;
    if (kvault__caches(kv->vault)) {
        rc = delete_many_pending(kv, keys, count, ret_deleted, reterr);
        if (rc != KVAULT_END)
            return rc;
    }
    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "delete_many", &write, reterr));
    rc = KVAULT_OK;
    for (size_t i = 0; i < count && rc >= 0; i++) {
        rc = kvault__kv_remove(&write, kv->space, keys[i], reterr);
        deleted += rc == KVAULT_OK;
    }
    TRY(kvault__write_end(&write, rc < 0 ? rc : KVAULT_OK, reterr));
    kvault__kv_tidy(kv, deleted > 0);
    *ret_deleted = deleted;
out:
    return rc;
}

/* What is pending is asked first, all of it, then the file in one state: no acknowledged write is
 * missed, and what comes from the file is of one instant. */
static kvault_status collect_pending(kvault_kv *kv, const kvault_slice *keys, size_t count, kvault_buf *values,
                                     size_t *sizes, uint8_t *answers, kvault_error *reterr)
{
    kvault_status rc = KVAULT_OK;

    for (size_t i = 0; i < count; i++) {
        uint64_t size = 0;

        answers[i] = (uint8_t)kvault__pending_look(kv->vault, kv->space, keys[i], 0, NULL, 0, &size);
        while (answers[i] == PENDING_VALUE) {
            TRY(kvault__buf_reserve(values, (size_t)size + 1, reterr));
            sizes[i] = (size_t)size;
            answers[i] = (uint8_t)kvault__pending_look(kv->vault, kv->space, keys[i], 0, values->data + values->size,
                                                       sizes[i], &size);
            if (answers[i] != PENDING_VALUE || size == sizes[i])
                break;
        }
        if (answers[i] == PENDING_VALUE)
            values->size += sizes[i];
    }
out:
    return rc;
}

static kvault_status append_value(struct reading *read, const struct storage_space *space, kvault_slice key,
                                  kvault_buf *values, size_t *ret_size, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    struct storage_op op = { .kind = STORAGE_GET, .space = space, .key = key };
    kvault_status rc;

    TRY(kvault__buf_reserve(values, GUESS_BYTES, reterr));
    op.dest = values->data + values->size;
    op.dest_size = GUESS_BYTES;
    TRY(kvault__read_run(read, &op, 1, reterr));
    *ret_size = SIZE_MAX;
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_OK;
    if (op.outcome == STORAGE_DONE && !op.cell.blob_id) {
        TRY(kvault__kv_check_sum(space, key, &op.cell, reterr));
        values->size += (size_t)op.cell.size;
    } else {
        TRY(kvault__kv_load(read, space, key, &value, reterr));
        TRY(kvault__buf_append(values, value.data, value.size, reterr));
    }
    *ret_size = (size_t)op.cell.size;
out:
    kvault_buf_free(&value);
    return rc;
}

kvault_status kvault_kv_get_many(kvault_kv *kv, const kvault_slice *keys, size_t count, kvault_buf *ret_values,
                                 size_t *ret_sizes, kvault_error *reterr)
{
    kvault_buf values = KVAULT_BUF_INIT, pending = KVAULT_BUF_INIT;
    uint8_t *answers = NULL;
    size_t taken = 0;
    struct reading read;
    kvault_status rc;

    TRY(kvault__check_open(kv->vault, reterr));
    for (size_t i = 0; i < count; i++)
        TRY(kvault__kv_check_key(keys[i], reterr));
    answers = kvault__alloc_zero(count, 1);
    if (!answers) {
        rc = kvault__fail_nomem(reterr, count);
        goto out;
    }
    TRY(collect_pending(kv, keys, count, &pending, ret_sizes, answers, reterr));
    TRY(kvault__read_begin(kv->vault, true, &read, reterr));
    for (size_t i = 0; i < count && rc >= 0; i++) {
        if (answers[i] == PENDING_NOTHING) {
            rc = append_value(&read, kv->space, keys[i], &values, &ret_sizes[i], reterr);
        } else if (answers[i] == PENDING_DELETED) {
            ret_sizes[i] = SIZE_MAX;
        } else {
            rc = kvault__buf_append(&values, pending.data + taken, ret_sizes[i], reterr);
            taken += ret_sizes[i];
        }
    }
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    *ret_values = values;
    values = (kvault_buf)KVAULT_BUF_INIT;
    rc = KVAULT_OK;
out:
    kvault__free(answers);
    kvault_buf_free(&pending);
    kvault_buf_free(&values);
    return rc;
}
