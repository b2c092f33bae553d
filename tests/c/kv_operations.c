/* kv_operations.c - the operations on keys and values, and on the file as a whole. See operations.h. */
#include <stdio.h>
#include <stdlib.h>

#include "operations.h"

/* Something in the log, so that reads look there too. */
static kvault_status prepare_log(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("k05"), operation_bytes(SMALL, 3), reterr);
}

/* ---- open and close ---- */

static kvault_status run_open(struct subject *subject, kvault_error *reterr)
{
    return subject_open(subject, reterr);
}

static kvault_status run_close(struct subject *subject, kvault_error *reterr)
{
    return subject_close(subject, reterr);
}

/* ---- one key ---- */

static kvault_status run_put_new(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("new"), operation_bytes(SMALL, 3), reterr);
}

static kvault_status run_put_over(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("medium"), operation_bytes(MEDIUM / 2, 3), reterr);
}

static kvault_status run_put_large(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("k07"), operation_bytes(LARGE, 3), reterr);
}

static kvault_status run_put_over_large(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("large"), operation_bytes(SMALL, 3), reterr);
}

static kvault_status run_delete(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_delete(subject->kv, text("k11"), reterr);
}

static kvault_status run_delete_large(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_delete(subject->kv, text("large"), reterr);
}

static kvault_status run_pop(struct subject *subject, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    kvault_status rc = kvault_kv_pop(subject->kv, text("large"), &value, reterr);

    if (rc == KVAULT_OK)
        subject->wrong |= value.size != LARGE || memcmp(value.data, operation_bytes(LARGE, 2).data, LARGE) != 0;
    kvault_buf_free(&value);
    return rc;
}

static kvault_status run_pop_last(struct subject *subject, kvault_error *reterr)
{
    kvault_buf key = KVAULT_BUF_INIT, value = KVAULT_BUF_INIT;
    kvault_status rc = kvault_kv_pop_last(subject->kv, &key, &value, reterr);

    if (rc == KVAULT_OK)
        subject->wrong |= key.size != 6 || memcmp(key.data, "medium", 6) != 0 || value.size != MEDIUM;
    kvault_buf_free(&key);
    kvault_buf_free(&value);
    return rc;
}

static kvault_status run_add(struct subject *subject, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    kvault_status rc = kvault_kv_add(subject->kv, text("new"), operation_bytes(SMALL, 3), &value, reterr);

    subject->wrong |= rc == KVAULT_END;
    kvault_buf_free(&value);
    return rc;
}

static kvault_status run_add_over(struct subject *subject, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    kvault_status rc = kvault_kv_add(subject->kv, text("large"), operation_bytes(SMALL, 3), &value, reterr);

    subject->wrong |= rc == KVAULT_OK || (rc == KVAULT_END && value.size != LARGE);
    kvault_buf_free(&value);
    return rc;
}

static kvault_status run_get(struct subject *subject, kvault_error *reterr)
{
    static uint8_t got[LARGE];
    static const struct {
        const char *key;
        size_t size;
        unsigned seed;
    } wanted[] = { { "k05", SMALL, 3 }, { "medium", MEDIUM, 1 }, { "large", LARGE, 2 } };
    kvault_status rc = KVAULT_OK;
    uint64_t size = 0;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && rc >= 0; i++) {
        rc = kvault_kv_get(subject->kv, text(wanted[i].key), got, sizeof got, &size, reterr);
        if (rc >= 0)
            subject->wrong |= rc != KVAULT_OK || size != wanted[i].size ||
                              memcmp(got, operation_bytes(size, wanted[i].seed).data, size) != 0;
    }
    return rc;
}

static kvault_status run_read(struct subject *subject, kvault_error *reterr)
{
    static uint8_t got[5000];
    size_t size = 0;
    kvault_status rc = kvault_kv_read(subject->kv, text("large"), 260000, got, sizeof got, &size, reterr);

    if (rc >= 0)
        subject->wrong |= rc != KVAULT_OK || size != sizeof got ||
                          memcmp(got, (const uint8_t *)operation_bytes(LARGE, 2).data + 260000, size) != 0;
    return rc;
}

static kvault_status run_look(struct subject *subject, kvault_error *reterr)
{
    uint64_t size = 0, count = 0;
    kvault_status rc = kvault_kv_size(subject->kv, text("large"), &size, reterr);

    if (rc >= 0)
        subject->wrong |= rc != KVAULT_OK || size != LARGE;
    STEP(kvault_kv_exists(subject->kv, text("k20"), reterr));
    subject->wrong |= rc > 0;
    STEP(kvault_kv_exists(subject->kv, text("absent"), reterr));
    subject->wrong |= rc == KVAULT_OK;
    STEP(kvault_kv_count(subject->kv, &count, reterr));
    if (rc >= 0)
        subject->wrong |= count != SMALL_KEYS + 2;
    return rc;
}

/* ---- many keys ---- */

static kvault_status run_put_many(struct subject *subject, kvault_error *reterr)
{
    char keys[20][8];
    kvault_kv_pair pairs[20];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "m%d", i);
        pairs[i] = (kvault_kv_pair){ text(keys[i]), operation_bytes(i == 9 ? LARGE : SMALL, 4) };
    }
    return kvault_kv_put_many(subject->kv, pairs, 20, reterr);
}

static kvault_status run_get_many(struct subject *subject, kvault_error *reterr)
{
    kvault_slice keys[] = { text("k01"), text("absent"), text("large") };
    kvault_buf values = KVAULT_BUF_INIT;
    size_t sizes[3];
    kvault_status rc = kvault_kv_get_many(subject->kv, keys, 3, &values, sizes, reterr);

    if (rc >= 0)
        subject->wrong |= sizes[0] != SMALL + 1 || sizes[1] != SIZE_MAX || sizes[2] != LARGE;
    kvault_buf_free(&values);
    return rc;
}

static kvault_status run_delete_many(struct subject *subject, kvault_error *reterr)
{
    kvault_slice keys[] = { text("k01"), text("absent"), text("large"), text("k01") };
    size_t deleted = 0;
    kvault_status rc = kvault_kv_delete_many(subject->kv, keys, 4, &deleted, reterr);

    if (rc >= 0)
        subject->wrong |= deleted != 2;
    return rc;
}

static kvault_status run_clear(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_clear(subject->kv, reterr);
}

static kvault_status run_scan(struct subject *subject, kvault_error *reterr)
{
    uint64_t there = 0, back = 0;
    kvault_status rc = subject_digest_keys(subject->kv, false, &there, reterr);

    STEP(subject_digest_keys(subject->kv, true, &back, reterr));
    if (rc >= 0)
        subject->wrong |= there != back;
    return rc;
}

/* ---- the write cache ---- */

static kvault_status cache_on(struct subject *subject, kvault_error *reterr)
{
    kvault_cache_setting setting = { true, true, 1 << 20, 200000, 0 };
    kvault_status rc = prepare_log(subject, reterr);

    STEP(kvault_cache_set(subject->vault, &setting, NULL, reterr));
    return rc;
}

/* Pending, of several kinds. */
static kvault_status prepare_pending(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = cache_on(subject, reterr);

    STEP(kvault_kv_put(subject->kv, text("pending"), operation_bytes(SMALL, 4), reterr));
    STEP(kvault_kv_put(subject->kv, text("large"), operation_bytes(MEDIUM, 4), reterr));
    STEP(kvault_kv_delete(subject->kv, text("k02"), reterr));
    return rc;
}

static kvault_status run_flush(struct subject *subject, kvault_error *reterr)
{
    return kvault_flush(subject->vault, NULL, reterr);
}

/* One write below the threshold. */
static kvault_status prepare_nearly_full(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = prepare_pending(subject, reterr);

    STEP(kvault_kv_put(subject->kv, text("c1"), operation_bytes(MEDIUM, 4), reterr));
    STEP(kvault_kv_put(subject->kv, text("c2"), operation_bytes(MEDIUM, 5), reterr));
    return rc;
}

/* The write that reaches the threshold flushes; it is pending whether or not that goes well. */
static kvault_status run_put_cached(struct subject *subject, kvault_error *reterr)
{
    return kvault_kv_put(subject->kv, text("c3"), operation_bytes(MEDIUM, 6), reterr);
}

/* A value larger than the capacity commits at once, with all that is pending before it. */
static kvault_status run_put_past_cache(struct subject *subject, kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_write(subject->kv, text("stream"), &blob, reterr);

    STEP(kvault_blob_write(blob, operation_bytes(STREAM, 4), reterr));
    STEP(kvault_blob_publish(blob, reterr));
    kvault_blob_free(blob);
    return rc;
}

static kvault_status run_cache_lock(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = kvault_cache_lock(subject->vault, reterr), left;

    if (rc < 0)
        return rc;
    rc = kvault_kv_put(subject->kv, text("locked"), operation_bytes(SMALL, 4), reterr);
    left = kvault_cache_unlock(subject->vault, rc < 0 ? NULL : reterr);
    return rc < 0 ? rc : left;
}

/* ---- streams ---- */

static kvault_status run_stream_write(struct subject *subject, kvault_error *reterr)
{
    kvault_slice all = operation_bytes(STREAM, 5);
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_write(subject->kv, text("large"), &blob, reterr);

    for (size_t at = 0; at < STREAM; at += 100000)
        STEP(kvault_blob_write(blob, (kvault_slice){ (const uint8_t *)all.data + at, 100000 }, reterr));
    STEP(kvault_blob_publish(blob, reterr));
    kvault_blob_free(blob);
    return rc;
}

static kvault_status run_stream_abort(struct subject *subject, kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_write(subject->kv, text("large"), &blob, reterr);

    STEP(kvault_blob_write(blob, operation_bytes(STREAM, 5), reterr));
    if (blob)
        kvault_blob_abort(blob);
    kvault_blob_free(blob);
    return rc;
}

static kvault_status run_append(struct subject *subject, kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_append(subject->kv, text("large"), &blob, reterr);

    STEP(kvault_blob_write(blob, operation_bytes(LARGE, 5), reterr));
    STEP(kvault_blob_publish(blob, reterr));
    kvault_blob_free(blob);
    return rc;
}

static kvault_status run_append_inline(struct subject *subject, kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_append(subject->kv, text("k30"), &blob, reterr);

    STEP(kvault_blob_write(blob, operation_bytes(SMALL, 5), reterr));
    STEP(kvault_blob_publish(blob, reterr));
    kvault_blob_free(blob);
    return rc;
}

static kvault_status run_stream_read(struct subject *subject, kvault_error *reterr)
{
    static uint8_t got[70000];
    const uint8_t *want = operation_bytes(LARGE, 2).data;
    kvault_blob *blob = NULL;
    kvault_status rc = kvault_blob_open_read(subject->kv, text("large"), &blob, reterr);
    size_t size = 1;

    if (rc == KVAULT_OK)
        subject->wrong |= kvault_blob_size(blob) != LARGE;
    for (uint64_t at = 0; rc == KVAULT_OK && size; at += size) {
        rc = kvault_blob_read(blob, at, got, sizeof got, &size, reterr);
        if (rc == KVAULT_OK)
            subject->wrong |= (!size && at != LARGE) || memcmp(got, want + at, size) != 0;
    }
    kvault_blob_free(blob);
    return rc;
}

/* ---- transactions, snapshots, the whole file ---- */

static kvault_status in_transaction(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = kvault_kv_put(subject->kv, text("outer"), operation_bytes(LARGE, 4), reterr);

    STEP(kvault_kv_delete(subject->kv, text("k03"), reterr));
    STEP(kvault_begin(subject->vault, reterr));
    STEP(kvault_kv_put(subject->kv, text("undone"), operation_bytes(SMALL, 4), reterr));
    STEP(kvault_rollback(subject->vault, reterr));
    STEP(kvault_begin(subject->vault, reterr));
    STEP(kvault_kv_put(subject->kv, text("inner"), operation_bytes(SMALL, 4), reterr));
    STEP(kvault_commit(subject->vault, reterr));
    return rc;
}

static kvault_status run_transaction(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = kvault_begin(subject->vault, reterr);

    if (rc < 0)
        return rc;
    rc = in_transaction(subject, reterr);
    if (rc >= 0)
        return kvault_commit(subject->vault, reterr);
    while (kvault_depth(subject->vault))
        (void)kvault_rollback(subject->vault, NULL); /* the first failure is the one that is reported */
    return rc;
}

static kvault_status run_rollback(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = kvault_begin(subject->vault, reterr);

    if (rc < 0)
        return rc;
    rc = in_transaction(subject, reterr);
    while (kvault_depth(subject->vault)) {
        kvault_status ended = kvault_rollback(subject->vault, rc < 0 ? NULL : reterr);

        rc = rc < 0 ? rc : ended;
    }
    return rc;
}

static kvault_status run_snapshot(struct subject *subject, kvault_error *reterr)
{
    uint64_t before = 0, during = 0;
    kvault *snapshot = NULL;
    kvault_kv *kv = NULL;
    kvault_status rc = subject_digest_keys(subject->kv, false, &before, reterr);

    STEP(kvault_snapshot(subject->vault, &snapshot, reterr));
    STEP(kvault_kv_open(snapshot, NULL, &kv, reterr));
    if (!subject->without_wal) /* there a snapshot holds off commits */
        STEP(kvault_kv_put(subject->kv, text("k05"), operation_bytes(SMALL, 6), reterr));
    STEP(subject_digest_keys(kv, false, &during, reterr));
    if (rc >= 0)
        subject->wrong |= before != during;
    kvault_kv_free(kv);
    if (snapshot)
        STEP(kvault_close(snapshot, reterr));
    kvault_free(snapshot);
    return rc;
}

static kvault_status run_checkpoint(struct subject *subject, kvault_error *reterr)
{
    return kvault_checkpoint(subject->vault, reterr);
}

static kvault_status run_optimize(struct subject *subject, kvault_error *reterr)
{
    return kvault_optimize(subject->vault, reterr);
}

static kvault_status run_backup(struct subject *subject, kvault_error *reterr)
{
    return kvault_backup(subject->vault, subject->backup_path, NULL, NULL, reterr);
}

static void on_problem(void *ctx, const char *where, const char *what)
{
    (void)where;
    (void)what;
    *(bool *)ctx = true;
}

/* A problem told is an answer too, where the disk gave wrong bytes. */
static kvault_status run_verify(struct subject *subject, kvault_error *reterr)
{
    bool found = false;
    kvault_status rc = kvault_verify(subject->vault, on_problem, &found, reterr);

    if (rc < 0 || !found)
        return rc;
    (void)snprintf(reterr->message, sizeof reterr->message, "verify found a problem");
    return reterr->status = KVAULT_E_CORRUPT;
}

static kvault_status run_stats(struct subject *subject, kvault_error *reterr)
{
    kvault_stats stats;
    kvault_status rc = kvault_get_stats(subject->vault, &stats, reterr);

    if (rc >= 0)
        subject->wrong |= stats.handles_open != 1 || !stats.pages;
    return rc;
}

const struct operation kv_operations[] = {
    { .name = "open", .from_closed = true, .run = run_open },
    { .name = "open a new file", .from_closed = true, .from_nothing = true, .run = run_open },
    { .name = "open after a crash", .from_closed = true, .from_crash = true, .run = run_open },
    { .name = "close", .prepare = prepare_log, .run = run_close },
    { .name = "close with pending writes", .prepare = prepare_pending, .run = run_close },
    { .name = "put", .prepare = prepare_log, .run = run_put_new },
    { .name = "put at first", .run = run_put_new },
    { .name = "put over a value", .prepare = prepare_log, .run = run_put_over },
    { .name = "put in pieces", .prepare = prepare_log, .run = run_put_large },
    { .name = "put over pieces", .prepare = prepare_log, .run = run_put_over_large },
    { .name = "put through the cache", .prepare = prepare_nearly_full, .run = run_put_cached },
    { .name = "flush", .prepare = prepare_pending, .run = run_flush },
    { .name = "stream past the cache", .prepare = prepare_pending, .run = run_put_past_cache },
    { .name = "lock_cache", .prepare = prepare_pending, .run = run_cache_lock },
    { .name = "delete", .prepare = prepare_log, .run = run_delete },
    { .name = "delete pieces", .prepare = prepare_log, .run = run_delete_large },
    { .name = "pop", .prepare = prepare_log, .run = run_pop },
    { .name = "pop the last", .prepare = prepare_log, .run = run_pop_last },
    { .name = "add", .prepare = prepare_log, .run = run_add },
    { .name = "add where there is one", .prepare = prepare_log, .run = run_add_over },
    { .name = "get", .prepare = prepare_log, .run = run_get },
    { .name = "read a range", .prepare = prepare_log, .run = run_read },
    { .name = "size, exists, count", .prepare = prepare_log, .run = run_look },
    { .name = "put_many", .prepare = prepare_log, .run = run_put_many },
    { .name = "get_many", .prepare = prepare_log, .run = run_get_many },
    { .name = "delete_many", .prepare = prepare_log, .run = run_delete_many },
    { .name = "clear", .prepare = prepare_log, .run = run_clear },
    { .name = "scan", .prepare = prepare_log, .run = run_scan },
    { .name = "scan with pending writes", .prepare = prepare_pending, .run = run_scan },
    { .name = "write a stream", .prepare = prepare_log, .run = run_stream_write },
    { .name = "abort a stream", .prepare = prepare_log, .run = run_stream_abort },
    { .name = "append", .prepare = prepare_log, .run = run_append },
    { .name = "append to an inline value", .prepare = prepare_log, .run = run_append_inline },
    { .name = "read a stream", .prepare = prepare_log, .run = run_stream_read },
    { .name = "transaction", .prepare = prepare_log, .run = run_transaction },
    { .name = "transaction with pending writes", .prepare = prepare_pending, .run = run_transaction },
    { .name = "transaction rolled back", .prepare = prepare_log, .run = run_rollback },
    { .name = "snapshot", .prepare = prepare_log, .run = run_snapshot },
    { .name = "checkpoint", .prepare = prepare_log, .run = run_checkpoint },
    { .name = "optimize", .prepare = prepare_log, .run = run_optimize },
    { .name = "backup", .prepare = prepare_log, .run = run_backup },
    { .name = "verify", .prepare = prepare_log, .run = run_verify },
    { .name = "stats", .prepare = prepare_log, .run = run_stats },
};
const int kv_operation_count = sizeof kv_operations / sizeof kv_operations[0];
