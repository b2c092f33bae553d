/* kv.c - a table of keys, one at a time.
 *
 * A value up to 256 KiB lies in its cell, with a checksum over key and value; a larger
 * one in pieces (kv_pieces.h). The fast way of a write is one operation that leaves a cell
 * alone whose value is in pieces (STORAGE_HELD); only then comes the long way: look at
 * the old cell, write, retire the old blob, in one transaction.
 *
 * A read asks what is pending first, then the file: see engine.h for why this order. */
#include "kv/kv_state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fail.h"
#include "kv/kv_pieces.h"
#include "base/banned.h"

/* ---- handle ---- */

kvault_status kvault_kv_open(kvault *vault, const char *table, kvault_kv **ret_kv, kvault_error *reterr)
{
    const struct storage_space *space;
    kvault_kv *kv;
    kvault_status rc;

    TRY(kvault__space_open(vault, table, &space, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return kvault__fail(reterr, KVAULT_NOT_FOUND, "there is no table \"%s\" in \"%s\"", table ? table : "kvault",
                            kvault_path(vault));
    kv = kvault__alloc(sizeof *kv);
    if (!kv)
        return kvault__fail_nomem(reterr, sizeof *kv);
    *kv = (kvault_kv){ vault, kvault__engine(vault), space };
    *ret_kv = kv;
out:
    return rc;
}

void kvault_kv_free(kvault_kv *kv)
{
    kvault__free(kv);
}

const char *kvault_kv_table(const kvault_kv *kv)
{
    return kv->space->name;
}

kvault_status kvault_kv_list_tables(kvault *vault,
                                    kvault_status (*row)(void *ctx, const char *table, kvault_error *reterr),
                                    void *row_ctx, kvault_error *reterr)
{
    struct reading read;
    kvault_status rc;

    TRY(kvault__read_begin(vault, false, &read, reterr));
    rc = read.backend->list_tables(read.conn, &read.wait, row, row_ctx, reterr);
    kvault__read_end(&read);
out:
    return rc;
}

uint64_t kvault_kv_hash(const kvault_kv *kv, kvault_slice key)
{
    return kvault__key_hash(kv->space, key);
}

bool kvault_kv_stamp(kvault_kv *kv, uint64_t hash, kvault_stamp *ret_stamp)
{
    return kvault__stamp(kv->vault, hash, ret_stamp);
}

bool kvault_kv_is_current(kvault_kv *kv, const kvault_stamp *stamp)
{
    return kvault__stamp_holds(kv->vault, stamp);
}

/* ---- checks and sums ---- */

kvault_status kvault__kv_check_key(kvault_slice key, kvault_error *reterr)
{
    if (key.size > KVAULT_KEY_BYTES_MAX)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "key is %zu bytes, limit %u", key.size, KVAULT_KEY_BYTES_MAX);
    return KVAULT_OK;
}

kvault_status kvault__kv_check_value(const struct kvault_kv *kv, uint64_t size, kvault_error *reterr)
{
    uint64_t limit = kvault__kv_has_pieces(kv->space) ? KVAULT_VALUE_BYTES_MAX : 1000000000;

    if (size > limit)
        return kvault__fail(reterr, KVAULT_E_TOOBIG, "value is %llu bytes, limit %llu", (unsigned long long)size,
                            (unsigned long long)limit);
    return KVAULT_OK;
}

uint64_t kvault__kv_sum(const struct storage_space *space, kvault_slice key, kvault_slice value)
{
    return kvault__kv_has_pieces(space) ? kvault__value_checksum(space, key, value) : 0;
}

const char *kvault__kv_key_text(kvault_slice key, char buffer[KEY_TEXT_BYTES])
{
    const uint8_t *bytes = key.data;
    size_t at = 0;

    buffer[at++] = '"';
    for (size_t i = 0; i < key.size; i++) {
        if (at + 10 > KEY_TEXT_BYTES) {
            at += (size_t)snprintf(buffer + at, KEY_TEXT_BYTES - at, "...");
            break;
        }
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
            buffer[at++] = (char)bytes[i];
        else
            at += (size_t)snprintf(buffer + at, KEY_TEXT_BYTES - at, "\\x%02x", bytes[i]);
    }
    buffer[at++] = '"';
    buffer[at] = 0;
    return buffer;
}

kvault_status kvault__kv_check_sum(const struct storage_space *space, kvault_slice key, const struct storage_cell *cell,
                                   kvault_error *reterr)
{
    char text[KEY_TEXT_BYTES];

    if (!kvault__kv_has_pieces(space) || cell->checksum == kvault__value_checksum(space, key, cell->value))
        return KVAULT_OK;
    return kvault__fail(reterr, KVAULT_E_CORRUPT,
                        "the value of key %s in table \"%s\" is damaged: its checksum does not match",
                        kvault__kv_key_text(key, text), space->name);
}

/* Words that name the key, around those that name the piece. */
static kvault_status in_key(kvault_status rc, const struct storage_space *space, kvault_slice key, kvault_error *reterr)
{
    char text[KEY_TEXT_BYTES], what[240] = "";

    if (rc != KVAULT_E_CORRUPT || !reterr)
        return rc;
    memcpy(what, reterr->message, sizeof what - 1);
    return kvault__fail(reterr, rc, "the value of key %s in table \"%s\" is damaged: %s",
                        kvault__kv_key_text(key, text), space->name, what);
}

struct reading kvault__kv_reading_of(struct writing *write)
{
    return (struct reading){ .backend = write->backend,
                             .engine = write->engine,
                             .vault = write->vault,
                             .conn = write->conn,
                             .wait = write->wait };
}

/* ---- one value, through a given connection ---- */

static kvault_status look(struct reading *read, const struct storage_space *space, kvault_slice key,
                          struct storage_op *ret_op, kvault_error *reterr)
{
    *ret_op = (struct storage_op){ .kind = STORAGE_GET, .space = space, .key = key };
    return kvault__read_run(read, ret_op, 1, reterr);
}

kvault_status kvault__kv_load(struct reading *read, const struct storage_space *space, kvault_slice key,
                              kvault_buf *ret_value, kvault_error *reterr)
{
    struct storage_op op;
    kvault_buf value = KVAULT_BUF_INIT;
    kvault_status rc;

    TRY(look(read, space, key, &op, reterr));
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    TRY(kvault__buf_reserve(&value, (size_t)op.cell.size + 1, reterr));
    value.size = (size_t)op.cell.size;
    if (op.cell.blob_id) {
        TRY(in_key(kvault__pieces_read(read, op.cell.blob_id, 0, value.data, value.size, false, reterr), space, key,
                   reterr));
    } else {
        op.dest = value.data;
        op.dest_size = value.size + 1;
        TRY(kvault__read_run(read, &op, 1, reterr));
        if (op.outcome != STORAGE_DONE) {
            rc = kvault__fail(reterr, KVAULT_E_CORRUPT, "a value changed inside one state of the file");
            goto out;
        }
        TRY(kvault__kv_check_sum(space, key, &op.cell, reterr));
    }
    *ret_value = value;
    return KVAULT_OK;
out:
    kvault_buf_free(&value);
    return rc;
}

static kvault_status retire(struct writing *write, const struct storage_cell *old, kvault_error *reterr)
{
    return old->blob_id ? kvault__blob_record_put(write, old->blob_id, BLOB_RETIRED, old->size, reterr) : KVAULT_OK;
}

kvault_status kvault__kv_store(struct writing *write, const struct storage_space *space, kvault_slice key,
                               kvault_slice value, kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    struct storage_op old, put = { .kind = STORAGE_PUT, .space = space, .key = key };
    kvault_status rc;

    TRY(look(&read, space, key, &old, reterr));
    put.cell.size = value.size;
    if (kvault__kv_is_large(space, value.size)) {
        TRY(kvault__next_id(write, STATE_BLOB_ID, &put.cell.blob_id, reterr));
        TRY(kvault__pieces_write(write, put.cell.blob_id, 0, value, reterr));
    } else {
        put.cell.value = value;
        put.cell.checksum = kvault__kv_sum(space, key, value);
    }
    TRY(kvault__write_run(write, &put, 1, reterr));
    TRY(retire(write, &old.cell, reterr));
out:
    return rc;
}

kvault_status kvault__kv_remove(struct writing *write, const struct storage_space *space, kvault_slice key,
                                kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    struct storage_op old, op = { .kind = STORAGE_DELETE, .space = space, .key = key };
    kvault_status rc;

    TRY(look(&read, space, key, &old, reterr));
    if (old.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    TRY(kvault__write_run(write, &op, 1, reterr));
    TRY(retire(write, &old.cell, reterr));
out:
    return rc;
}

/* ---- put, delete ---- */

void kvault__kv_tidy(kvault_kv *kv, bool retired)
{
    if (retired || kvault__sweep_is_due(kv->engine))
        kvault__blobs_sweep(kv->vault);
}

static kvault_status put_long(kvault_kv *kv, kvault_slice key, kvault_slice value, kvault_error *reterr)
{
    struct writing write;
    kvault_status rc;

    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "put", &write, reterr));
    TRY(kvault__write_end(&write, kvault__kv_store(&write, kv->space, key, value, reterr), reterr));
    kvault__kv_tidy(kv, true);
out:
    return rc;
}

kvault_status kvault_kv_put(kvault_kv *kv, kvault_slice key, kvault_slice value, kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_PUT, .keep_blob = true, .space = kv->space, .key = key };
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__kv_check_value(kv, value.size, reterr));
    if (kvault__caches(kv->vault)) {
        struct pending_write put = { key, value, 0, false };

        rc = kvault__pending_put(kv->vault, kv->space, &kvault__kv_structure, &put, 1, reterr);
        if (rc != KVAULT_END)
            return rc;
    }
    if (kvault__kv_is_large(kv->space, value.size))
        return put_long(kv, key, value, reterr);
    op.cell = (struct storage_cell){ .value = value, .size = value.size };
    op.cell.checksum = kvault__kv_sum(kv->space, key, value);
    TRY(kvault__write_one(kv->vault, "put", &op, reterr));
    if (op.outcome == STORAGE_HELD)
        return put_long(kv, key, value, reterr);
    kvault__kv_tidy(kv, false);
out:
    return rc < 0 ? rc : KVAULT_OK;
}

/* A tombstone, if the key is there at all. KVAULT_END: it cannot be pending. */
static kvault_status delete_pending(kvault_kv *kv, kvault_slice key, kvault_error *reterr)
{
    struct pending_write tombstone = { key, { NULL, 0 }, 0, true };
    kvault_status rc;

    TRY(kvault_kv_exists(kv, key, reterr));
    if (rc == KVAULT_NOT_FOUND)
        return rc;
    return kvault__pending_put(kv->vault, kv->space, &kvault__kv_structure, &tombstone, 1, reterr);
out:
    return rc;
}

kvault_status kvault_kv_delete(kvault_kv *kv, kvault_slice key, kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_DELETE, .keep_blob = true, .space = kv->space, .key = key };
    struct writing write;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__check_writable(kv->vault, reterr));
    if (kvault__caches(kv->vault)) {
        rc = delete_pending(kv, key, reterr);
        if (rc != KVAULT_END)
            return rc;
    }
    TRY(kvault__write_one(kv->vault, "delete", &op, reterr));
    if (op.outcome == STORAGE_HELD) {
        TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "delete", &write, reterr));
        TRY(kvault__write_end(&write, kvault__kv_remove(&write, kv->space, key, reterr), reterr));
        kvault__kv_tidy(kv, true);
        return rc;
    }
    rc = op.outcome == STORAGE_DONE ? KVAULT_OK : KVAULT_NOT_FOUND;
out:
    return rc;
}

/* ---- get ---- */

static kvault_status get_pieces(kvault_kv *kv, kvault_slice key, void *dest, size_t capacity, uint64_t *ret_size,
                                kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    struct storage_op op;
    struct reading read;
    kvault_status rc;

    TRY(kvault__read_begin_large(kv->vault, &read, reterr));
    rc = look(&read, kv->space, key, &op, reterr);
    if (rc >= 0 && op.outcome == STORAGE_MISSING)
        rc = KVAULT_NOT_FOUND;
    if (rc == KVAULT_OK) {
        *ret_size = op.cell.size;
        if (op.cell.size <= capacity && op.cell.blob_id)
            rc = in_key(kvault__pieces_read(&read, op.cell.blob_id, 0, dest, (size_t)op.cell.size, false, reterr),
                        kv->space, key, reterr);
        else if (op.cell.size <= capacity)
            rc = kvault__kv_load(&read, kv->space, key, &value, reterr); /* it became small meanwhile */
    }
    kvault__read_end(&read);
    if (rc == KVAULT_OK && value.size)
        memcpy(dest, value.data, value.size);
out:
    kvault_buf_free(&value);
    return rc;
}

kvault_status kvault_kv_get(kvault_kv *kv, kvault_slice key, void *dest, size_t capacity, uint64_t *ret_size,
                            kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_GET, .space = kv->space, .key = key };
    struct reading read;
    uint64_t size = 0;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__check_open(kv->vault, reterr));
    switch (kvault__pending_look(kv->vault, kv->space, key, 0, dest, capacity, &size)) {
    case PENDING_VALUE:
        *ret_size = size;
        return KVAULT_OK;
    case PENDING_DELETED:
        return KVAULT_NOT_FOUND;
    case PENDING_NOTHING:
        break;
    }
    op.dest = dest;
    op.dest_size = capacity;
    TRY(kvault__read_begin(kv->vault, false, &read, reterr));
    rc = kvault__read_run(&read, &op, 1, reterr);
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    if (op.cell.blob_id && op.cell.size <= capacity)
        return get_pieces(kv, key, dest, capacity, ret_size, reterr);
    if (op.outcome == STORAGE_DONE && dest && !op.cell.blob_id)
        TRY(kvault__kv_check_sum(kv->space, key, &op.cell, reterr));
    *ret_size = op.cell.size;
out:
    return rc;
}

/* Part of an inline value: SQLite gathers all of it anyway, and the checksum is over all of it. */
static kvault_status read_inline(struct reading *read, kvault_kv *kv, kvault_slice key, uint64_t offset, void *dest,
                                 size_t capacity, size_t *ret_size, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    kvault_status rc = kvault__kv_load(read, kv->space, key, &value, reterr);

    *ret_size = 0;
    if (rc == KVAULT_OK && offset < value.size) {
        *ret_size = value.size - (size_t)offset < capacity ? value.size - (size_t)offset : capacity;
        memcpy(dest, value.data + offset, *ret_size);
    }
    kvault_buf_free(&value);
    return rc;
}

kvault_status kvault_kv_read(kvault_kv *kv, kvault_slice key, uint64_t offset, void *dest, size_t capacity,
                             size_t *ret_size, kvault_error *reterr)
{
    struct storage_op op;
    struct reading read;
    uint64_t size = 0, rest;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__check_open(kv->vault, reterr));
    switch (kvault__pending_look(kv->vault, kv->space, key, offset, dest, capacity, &size)) {
    case PENDING_VALUE:
        rest = offset < size ? size - offset : 0;
        *ret_size = rest < capacity ? (size_t)rest : capacity;
        return KVAULT_OK;
    case PENDING_DELETED:
        return KVAULT_NOT_FOUND;
    case PENDING_NOTHING:
        break;
    }
    TRY(kvault__read_begin(kv->vault, true, &read, reterr));
    rc = look(&read, kv->space, key, &op, reterr);
    if (rc >= 0 && op.outcome == STORAGE_MISSING)
        rc = KVAULT_NOT_FOUND;
    if (rc == KVAULT_OK && op.cell.blob_id) {
        rest = offset < op.cell.size ? op.cell.size - offset : 0;
        *ret_size = rest < capacity ? (size_t)rest : capacity;
        rc = in_key(kvault__pieces_read(&read, op.cell.blob_id, offset, dest, *ret_size, false, reterr), kv->space, key,
                    reterr);
    } else if (rc == KVAULT_OK) {
        rc = read_inline(&read, kv, key, offset, dest, capacity, ret_size, reterr);
    }
    kvault__read_end(&read);
out:
    return rc;
}

kvault_status kvault_kv_size(kvault_kv *kv, kvault_slice key, uint64_t *ret_size, kvault_error *reterr)
{
    return kvault_kv_get(kv, key, NULL, 0, ret_size, reterr);
}

kvault_status kvault_kv_exists(kvault_kv *kv, kvault_slice key, kvault_error *reterr)
{
    uint64_t size;

    return kvault_kv_get(kv, key, NULL, 0, &size, reterr);
}

/* ---- read and write in one ---- */

kvault_status kvault_kv_pop(kvault_kv *kv, kvault_slice key, kvault_buf *ret_value, kvault_error *reterr)
{
    kvault_buf value = KVAULT_BUF_INIT;
    struct writing write;
    struct reading read;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "pop", &write, reterr));
    read = kvault__kv_reading_of(&write);
    rc = kvault__kv_load(&read, kv->space, key, &value, reterr);
    if (rc == KVAULT_OK)
        rc = kvault__kv_remove(&write, kv->space, key, reterr);
    TRY(kvault__write_end(&write, rc, reterr));
    if (rc == KVAULT_OK) {
        *ret_value = value;
        kvault__kv_tidy(kv, kvault__kv_is_large(kv->space, value.size));
        return rc;
    }
out:
    kvault_buf_free(&value);
    return rc;
}

static kvault_status take_key(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    (void)cell;
    return kvault__buf_append(ctx, key.data, key.size, reterr);
}

kvault_status kvault_kv_pop_last(kvault_kv *kv, kvault_buf *ret_key, kvault_buf *ret_value, kvault_error *reterr)
{
    struct storage_range range = { .space = kv->space, .reverse = true, .limit = 1 };
    kvault_buf key = KVAULT_BUF_INIT, value = KVAULT_BUF_INIT;
    struct writing write;
    struct reading read;
    kvault_slice last;
    kvault_status rc;

    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "pop", &write, reterr));
    read = kvault__kv_reading_of(&write);
    rc = kvault__buf_reserve(&key, 1, reterr); /* an empty key is a key too: tell it from none by the load */
    if (rc >= 0)
        rc = read.backend->scan(read.conn, &range, &read.wait, take_key, &key, reterr);
    last = (kvault_slice){ key.data, key.size };
    if (rc >= 0)
        rc = kvault__kv_load(&read, kv->space, last, &value, reterr);
    if (rc == KVAULT_OK)
        rc = kvault__kv_remove(&write, kv->space, last, reterr);
    TRY(kvault__write_end(&write, rc, reterr));
    if (rc == KVAULT_OK) {
        kvault__kv_tidy(kv, kvault__kv_is_large(kv->space, value.size));
        *ret_key = key;
        *ret_value = value;
        return rc;
    }
out:
    kvault_buf_free(&key);
    kvault_buf_free(&value);
    return rc;
}

kvault_status kvault_kv_add(kvault_kv *kv, kvault_slice key, kvault_slice value, kvault_buf *ret_value,
                            kvault_error *reterr)
{
    struct writing write;
    struct reading read;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(kvault__kv_check_value(kv, value.size, reterr));
    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "add", &write, reterr));
    read = kvault__kv_reading_of(&write);
    rc = kvault__kv_load(&read, kv->space, key, ret_value, reterr);
    if (rc == KVAULT_OK)
        rc = KVAULT_END;
    else if (rc == KVAULT_NOT_FOUND)
        rc = kvault__kv_store(&write, kv->space, key, value, reterr);
    rc = kvault__write_end(&write, rc, reterr);
out:
    return rc;
}

kvault_status kvault_kv_count(kvault_kv *kv, uint64_t *ret_count, kvault_error *reterr)
{
    return kvault__count(kv->vault, kv->space, ret_count, reterr);
}

/* ---- clear ---- */

static kvault_status note_blob(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    uint64_t pair[2] = { cell->blob_id, cell->size };

    (void)key;
    return cell->blob_id ? kvault__buf_append(ctx, pair, sizeof pair, reterr) : KVAULT_OK;
}

kvault_status kvault_kv_clear(kvault_kv *kv, kvault_error *reterr)
{
    struct storage_range range = { .space = kv->space, .limit = UINT32_MAX };
    kvault_buf blobs = KVAULT_BUF_INIT;
    struct writing write;
    kvault_status rc;

    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "clear", &write, reterr));
    if (kvault__kv_has_pieces(kv->space))
        rc = write.backend->scan(write.conn, &range, &write.wait, note_blob, &blobs, reterr);
    for (size_t at = 0; rc >= 0 && at < blobs.size; at += 2 * sizeof(uint64_t)) {
        struct storage_cell old = { 0 };

        memcpy(&old.blob_id, blobs.data + at, sizeof old.blob_id);
        memcpy(&old.size, blobs.data + at + sizeof old.blob_id, sizeof old.size);
        rc = retire(&write, &old, reterr);
    }
    if (rc >= 0)
        rc = kvault__write_clear(&write, kv->space, reterr);
    TRY(kvault__write_end(&write, rc, reterr));
    kvault__kv_tidy(kv, blobs.size > 0);
out:
    kvault_buf_free(&blobs);
    return rc;
}
