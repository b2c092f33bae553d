/* kv_stream.c - a value read or written as a stream.
 *
 * A writer gathers bytes and, from 8 MiB on, writes whole pieces under a new blob id that
 * nobody refers to, in transactions of their own; publishing is one small transaction that
 * points the key at them. What stays small is an ordinary put at the end.
 *
 * An appender works on the blob itself: pieces behind the published size are seen by nobody,
 * since readers go by the size; publishing moves the size. Its record (APPENDING, with the
 * published size) keeps a second appender away, and tells a sweeper where to cut.
 *
 * A stream that was opened or that wrote in a transaction is given up when that is rolled back: its pieces are gone, and
 * its blob id, if it was taken there, is soon another stream's. */
#include "kv/kv_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fail.h"
#include "kv/kv_pieces.h"
#include "base/banned.h"

#define STEP_BYTES (32u * PIECE_DATA) /* whole pieces, about 8 MiB, in one transaction */
#define APPENDER_DEAD_MS 3600000

enum blob_mode { MODE_READ, MODE_WRITE, MODE_APPEND };

struct kvault_blob {
    kvault_kv *kv;
    enum blob_mode mode;
    kvault_buf key;
    uint64_t blob_id;   /* 0: the bytes are in `bytes` alone */
    uint64_t size;      /* reader: of the value */
    kvault_buf bytes;   /* reader: an inline value. Writer: what is behind `first_seq` pieces */
    uint32_t first_seq; /* whole pieces already written */
    bool ended, held;
    struct undoable claim; /* what made the blob ours: opening, or taking its id */
    struct undoable work;  /* what was written to it */
    /* appender */
    bool published;      /* blob_id is the key's value, `base_size` of it seen by readers */
    uint64_t base_size;
    uint64_t base_sum;   /* of an inline value: what the key had when we opened, or last published */
    bool base_absent;
};

static kvault_slice key_of(const kvault_blob *blob)
{
    return (kvault_slice){ blob->key.data, blob->key.size };
}

static uint64_t written_size(const kvault_blob *blob)
{
    return (uint64_t)blob->first_seq * PIECE_DATA + blob->bytes.size;
}

static kvault_status blob_new(kvault_kv *kv, enum blob_mode mode, kvault_slice key, kvault_blob **ret_blob,
                              kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    kvault_status rc;

    TRY(kvault__kv_check_key(key, reterr));
    TRY(mode == MODE_READ ? kvault__check_open(kv->vault, reterr) : kvault__check_writable(kv->vault, reterr));
    blob = kvault__alloc_zero(1, sizeof *blob);
    if (!blob) {
        rc = kvault__fail_nomem(reterr, sizeof *blob);
        goto out;
    }
    blob->kv = kv;
    blob->mode = mode;
    TRY(kvault__buf_append(&blob->key, key.data, key.size, reterr));
    *ret_blob = blob;
    return KVAULT_OK;
out:
    kvault_blob_free(blob);
    return rc;
}

/* Leave the blob to a later sweep. An id that is not committed yet may become another stream's instead; if it stays ours
 * after all, the hourly sweep finds its record. */
static void abandon(kvault_blob *blob)
{
    if (kvault__undo_forget(blob->kv->engine, &blob->claim))
        kvault__blob_abandon(blob->kv->engine, blob->blob_id);
}

void kvault_blob_free(kvault_blob *blob)
{
    if (!blob)
        return;
    if (blob->held)
        kvault__blob_drop(blob->kv->engine, blob->blob_id);
    if (!blob->ended && blob->mode != MODE_READ && blob->blob_id)
        abandon(blob);
    (void)kvault__undo_forget(blob->kv->engine, &blob->work);
    (void)kvault__undo_forget(blob->kv->engine, &blob->claim);
    kvault_buf_free(&blob->key);
    kvault_buf_free(&blob->bytes);
    kvault__free(blob);
}

uint64_t kvault_blob_size(const kvault_blob *blob)
{
    return blob->mode == MODE_READ ? blob->size : written_size(blob);
}

/* Neither what made the blob ours nor what was written to it was rolled back. */
static kvault_status check_not_undone(const kvault_blob *blob, kvault_error *reterr)
{
    struct engine *engine = blob->kv->engine;
    char text[KEY_TEXT_BYTES];

    if (!kvault__undo_is_done(engine, &blob->claim) && !kvault__undo_is_done(engine, &blob->work))
        return KVAULT_OK;
    return kvault__fail(reterr, KVAULT_E_IO,
                        "the stream to key %s was given up: a transaction that it was opened in, or wrote in, was rolled "
                        "back; open it anew",
                        kvault__kv_key_text(key_of(blob), text));
}

/* ---- reading ---- */

/* A pending value is copied; it may be flushed while we read it. */
static kvault_status copy_pending(kvault_blob *blob, enum pending_answer *ret_answer, kvault_error *reterr)
{
    uint64_t size = 0;
    kvault_status rc = KVAULT_OK;

    for (;;) {
        *ret_answer = kvault__pending_look(blob->kv->vault, blob->kv->space, key_of(blob), 0, blob->bytes.data,
                                           blob->bytes.size, &size);
        if (*ret_answer != PENDING_VALUE || size == blob->bytes.size)
            break;
        blob->bytes.size = 0;
        TRY(kvault__buf_reserve(&blob->bytes, (size_t)size + 1, reterr));
        blob->bytes.size = (size_t)size;
    }
    blob->size = blob->bytes.size;
out:
    return rc;
}

/* With the connection still at the state that named the blob, hold it: a sweeper of this process that
 * comes later sees the hold. */
static kvault_status open_stored(kvault_blob *blob, struct reading *read, kvault_error *reterr)
{
    struct storage_op op = { .kind = STORAGE_GET, .space = blob->kv->space, .key = key_of(blob) };
    kvault_status rc;

    TRY(kvault__read_run(read, &op, 1, reterr));
    if (op.outcome == STORAGE_MISSING)
        return KVAULT_NOT_FOUND;
    blob->size = op.cell.size;
    if (!op.cell.blob_id)
        return kvault__kv_load(read, blob->kv->space, key_of(blob), &blob->bytes, reterr);
    TRY(kvault__blob_hold(blob->kv->engine, op.cell.blob_id, reterr));
    blob->blob_id = op.cell.blob_id;
    blob->held = true;
out:
    return rc;
}

kvault_status kvault_blob_open_read(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob, kvault_error *reterr)
{
    enum pending_answer answer;
    kvault_blob *blob = NULL;
    struct reading read;
    kvault_status rc;

    TRY(blob_new(kv, MODE_READ, key, &blob, reterr));
    TRY(copy_pending(blob, &answer, reterr));
    if (answer == PENDING_DELETED)
        rc = KVAULT_NOT_FOUND;
    if (answer == PENDING_NOTHING) {
        blob->bytes.size = 0;
        TRY(kvault__read_begin(kv->vault, true, &read, reterr));
        rc = open_stored(blob, &read, reterr);
        kvault__read_end(&read);
    }
    if (rc == KVAULT_OK) {
        kvault__undo_note(kv->vault, &blob->claim);
        *ret_blob = blob;
        return rc;
    }
out:
    kvault_blob_free(blob);
    return rc;
}

kvault_status kvault_blob_read(kvault_blob *blob, uint64_t offset, void *dest, size_t capacity, size_t *ret_size,
                               kvault_error *reterr)
{
    uint64_t rest = offset < blob->size ? blob->size - offset : 0;
    struct reading read;
    kvault_status rc;

    TRY(kvault__check_open(blob->kv->vault, reterr));
    if (blob->mode != MODE_READ)
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot read from a stream that was opened for writing");
    TRY(check_not_undone(blob, reterr));
    *ret_size = rest < capacity ? (size_t)rest : capacity;
    if (!*ret_size)
        return KVAULT_OK;
    if (!blob->blob_id) {
        memcpy(dest, blob->bytes.data + offset, *ret_size);
        return KVAULT_OK;
    }
    TRY(kvault__read_begin_large(blob->kv->vault, &read, reterr));
    rc = kvault__pieces_read(&read, blob->blob_id, offset, dest, *ret_size, true, reterr);
    kvault__read_end(&read);
out:
    return rc;
}

/* ---- writing ---- */

kvault_status kvault_blob_open_write(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob, kvault_error *reterr)
{
    kvault_status rc = blob_new(kv, MODE_WRITE, key, ret_blob, reterr);

    if (rc == KVAULT_OK)
        kvault__undo_note(kv->vault, &(*ret_blob)->claim);
    return rc;
}

static kvault_status fail_gone(const kvault_blob *blob, kvault_error *reterr)
{
    char text[KEY_TEXT_BYTES];

    return kvault__fail(reterr, KVAULT_E_IO,
                        "the stream to key %s was given up: the value was replaced or deleted, or nothing was written for an "
                        "hour; the value there stays",
                        kvault__kv_key_text(key_of(blob), text));
}

/* Still ours: the record is there, in the state that we left it in. */
static kvault_status check_record(kvault_blob *blob, struct writing *write, struct blob_record *ret_record,
                                  kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    kvault_status rc = kvault__blob_record_get(&read, blob->blob_id, ret_record, reterr);

    if (rc == KVAULT_NOT_FOUND ||
        (rc == KVAULT_OK && ret_record->state != (blob->published ? BLOB_APPENDING : BLOB_WRITING)))
        rc = fail_gone(blob, reterr);
    return rc;
}

static kvault_status renew_record(kvault_blob *blob, struct writing *write, kvault_error *reterr)
{
    return blob->published ? kvault__blob_record_put(write, blob->blob_id, BLOB_APPENDING, blob->base_size, reterr)
                           : kvault__blob_record_put(write, blob->blob_id, BLOB_WRITING, 0, reterr);
}

/* After a write that succeeded; `blob_id` is the id that the blob had before. */
static void note_work(kvault_blob *blob, uint64_t blob_id)
{
    kvault__undo_note(blob->kv->vault, &blob->work);
    if (blob->blob_id != blob_id)
        kvault__undo_note(blob->kv->vault, &blob->claim);
}

/* Whole pieces out of the buffer, in a transaction that nobody notices. */
static kvault_status write_step(kvault_blob *blob, kvault_error *reterr)
{
    size_t whole = blob->bytes.size - blob->bytes.size % PIECE_DATA;
    uint64_t blob_id = blob->blob_id;
    struct blob_record record;
    struct writing write;
    kvault_status rc;

    TRY(kvault__write_begin(blob->kv->vault, WRITING_SILENT, "write to a stream", &write, reterr));
    rc = check_not_undone(blob, reterr);
    if (rc >= 0)
        rc = blob_id ? check_record(blob, &write, &record, reterr)
                     : kvault__next_id(&write, STATE_BLOB_ID, &blob->blob_id, reterr);
    if (rc >= 0)
        rc = renew_record(blob, &write, reterr);
    if (rc >= 0)
        rc = kvault__pieces_write(&write, blob->blob_id, blob->first_seq, (kvault_slice){ blob->bytes.data, whole },
                                  reterr);
    rc = kvault__write_end(&write, rc, reterr);
    if (rc < 0) {
        blob->blob_id = blob_id;
        goto out;
    }
    note_work(blob, blob_id);
    blob->first_seq += (uint32_t)(whole / PIECE_DATA);
    blob->bytes.size -= whole;
    memmove(blob->bytes.data, blob->bytes.data + whole, blob->bytes.size);
out:
    return rc;
}

static kvault_status check_writing(const kvault_blob *blob, kvault_error *reterr)
{
    kvault_status rc;

    if (blob->mode == MODE_READ)
        return kvault__fail(reterr, KVAULT_E_INVALID, "cannot write to a stream that was opened for reading");
    if (blob->ended)
        return kvault__fail(reterr, KVAULT_E_CLOSED, "the stream is closed");
    TRY(kvault__check_writable(blob->kv->vault, reterr));
    rc = check_not_undone(blob, reterr);
out:
    return rc;
}

kvault_status kvault_blob_write(kvault_blob *blob, kvault_slice data, kvault_error *reterr)
{
    const uint8_t *from = data.data;
    size_t rest = data.size;
    kvault_status rc;

    TRY(check_writing(blob, reterr));
    if (rest > KVAULT_VALUE_BYTES_MAX - written_size(blob))
        return kvault__kv_check_value(blob->kv, written_size(blob) + rest, reterr);
    if (!kvault__kv_has_pieces(blob->kv->space)) {
        TRY(kvault__kv_check_value(blob->kv, written_size(blob) + rest, reterr));
        return kvault__buf_append(&blob->bytes, from, rest, reterr);
    }
    while (rest) {
        size_t room = STEP_BYTES - blob->bytes.size, part = rest < room ? rest : room;

        TRY(kvault__buf_append(&blob->bytes, from, part, reterr));
        from += part;
        rest -= part;
        if (blob->bytes.size == STEP_BYTES)
            TRY(write_step(blob, reterr));
    }
out:
    return rc;
}

/* ---- publishing ---- */

static kvault_status point_key_at(kvault_blob *blob, struct writing *write, uint64_t size, kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    struct storage_op old = { .kind = STORAGE_GET, .space = blob->kv->space, .key = key_of(blob) };
    struct storage_op put = { .kind = STORAGE_PUT, .space = blob->kv->space, .key = key_of(blob) };
    kvault_status rc;

    TRY(kvault__read_run(&read, &old, 1, reterr));
    put.cell.blob_id = blob->blob_id;
    put.cell.size = size;
    TRY(kvault__write_run(write, &put, 1, reterr));
    if (old.cell.blob_id && old.cell.blob_id != blob->blob_id)
        TRY(kvault__blob_record_put(write, old.cell.blob_id, BLOB_RETIRED, old.cell.size, reterr));
out:
    return rc;
}

/* An appender adds to the value it opened; one that was changed meanwhile is not ours to replace. */
static kvault_status check_base(kvault_blob *blob, struct writing *write, kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    kvault_buf value = KVAULT_BUF_INIT;
    struct storage_op op = { .kind = STORAGE_GET, .space = blob->kv->space, .key = key_of(blob) };
    kvault_status rc;

    TRY(kvault__read_run(&read, &op, 1, reterr));
    if (blob->published) {
        if (op.outcome == STORAGE_MISSING || op.cell.blob_id != blob->blob_id || op.cell.size != blob->base_size)
            rc = fail_gone(blob, reterr);
        goto out;
    }
    if (op.outcome == STORAGE_MISSING || op.cell.blob_id) {
        if (!blob->base_absent || op.outcome != STORAGE_MISSING)
            rc = fail_gone(blob, reterr);
        goto out;
    }
    TRY(kvault__kv_load(&read, blob->kv->space, key_of(blob), &value, reterr));
    if (blob->base_absent ||
        kvault__value_checksum(blob->kv->space, key_of(blob), (kvault_slice){ value.data, value.size }) != blob->base_sum)
        rc = fail_gone(blob, reterr);
out:
    kvault_buf_free(&value);
    return rc;
}

/* Everything in pieces: what is left in the buffer goes behind those written. */
static kvault_status publish_pieces(kvault_blob *blob, struct writing *write, kvault_error *reterr)
{
    uint64_t size = written_size(blob);
    kvault_slice rest = { blob->bytes.data, blob->bytes.size };
    struct blob_record record;
    kvault_status rc;

    if (blob->blob_id)
        TRY(check_record(blob, write, &record, reterr));
    else
        TRY(kvault__next_id(write, STATE_BLOB_ID, &blob->blob_id, reterr));
    TRY(kvault__pieces_write(write, blob->blob_id, blob->first_seq, rest, reterr));
    TRY(point_key_at(blob, write, size, reterr));
    if (blob->mode == MODE_APPEND)
        TRY(kvault__blob_record_put(write, blob->blob_id, BLOB_APPENDING, size, reterr));
    else
        TRY(kvault__blob_record_delete(write, blob->blob_id, reterr));
out:
    return rc;
}

/* What is published is what the next publish starts from. */
static void note_published(kvault_blob *blob, bool in_pieces)
{
    size_t whole = blob->bytes.size - blob->bytes.size % PIECE_DATA;

    blob->base_size = written_size(blob);
    blob->base_absent = false;
    blob->published = in_pieces;
    if (!in_pieces) {
        blob->base_sum = kvault__value_checksum(blob->kv->space, key_of(blob),
                                                (kvault_slice){ blob->bytes.data, blob->bytes.size });
        return;
    }
    blob->first_seq += (uint32_t)(whole / PIECE_DATA);
    blob->bytes.size -= whole;
    memmove(blob->bytes.data, blob->bytes.data + whole, blob->bytes.size);
}

kvault_status kvault_blob_publish(kvault_blob *blob, kvault_error *reterr)
{
    bool in_pieces = blob->blob_id || kvault__kv_is_large(blob->kv->space, written_size(blob));
    uint64_t blob_id = blob->blob_id;
    struct writing write;
    kvault_status rc;

    TRY(check_writing(blob, reterr));
    TRY(kvault__write_begin(blob->kv->vault, WRITING_VISIBLE, "publish a stream", &write, reterr));
    rc = check_not_undone(blob, reterr);
    if (rc >= 0 && blob->mode == MODE_APPEND)
        rc = check_base(blob, &write, reterr);
    if (rc >= 0)
        rc = in_pieces ? publish_pieces(blob, &write, reterr)
                       : kvault__kv_store(&write, blob->kv->space, key_of(blob),
                                          (kvault_slice){ blob->bytes.data, blob->bytes.size }, reterr);
    rc = kvault__write_end(&write, rc, reterr);
    if (rc < 0) {
        blob->blob_id = blob_id;
        goto out;
    }
    note_work(blob, blob_id);
    if (blob->mode == MODE_APPEND)
        note_published(blob, in_pieces);
    else
        blob->ended = true;
    kvault__blobs_sweep(blob->kv->vault);
out:
    return rc;
}

/* ---- appending ---- */

/* Take the blob for ourselves, and the bytes of its last, partial piece into the buffer. */
static kvault_status claim(kvault_blob *blob, const struct storage_cell *cell, struct writing *write,
                           kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    struct blob_record record;
    char text[KEY_TEXT_BYTES];
    size_t part = (size_t)(cell->size % PIECE_DATA);
    int64_t silent_ms;
    kvault_status rc;

    TRY(kvault__blob_record_get(&read, cell->blob_id, &record, reterr));
    if (rc == KVAULT_OK) {
        silent_ms = kvault__wall_ms() - record.time_ms;
        if (silent_ms < APPENDER_DEAD_MS) {
            rc = kvault__fail(reterr, KVAULT_E_BUSY,
                              "could not append to key %s: another appender has it, last seen %.1f s ago; close that one",
                              kvault__kv_key_text(key_of(blob), text), (double)(silent_ms > 0 ? silent_ms : 0) / 1000);
            goto out;
        }
        TRY(kvault__pieces_truncate(write, cell->blob_id, cell->size, reterr));
    }
    TRY(kvault__buf_reserve(&blob->bytes, part + 1, reterr));
    TRY(kvault__pieces_read(&read, cell->blob_id, cell->size - part, blob->bytes.data, part, false, reterr));
    TRY(kvault__blob_record_put(write, cell->blob_id, BLOB_APPENDING, cell->size, reterr));
    blob->bytes.size = part;
    blob->first_seq = (uint32_t)(cell->size / PIECE_DATA);
    blob->blob_id = cell->blob_id;
    blob->published = true;
    blob->base_size = cell->size;
out:
    return rc;
}

static kvault_status open_base(kvault_blob *blob, struct writing *write, kvault_error *reterr)
{
    struct reading read = kvault__kv_reading_of(write);
    struct storage_op op = { .kind = STORAGE_GET, .space = blob->kv->space, .key = key_of(blob) };
    kvault_status rc;

    TRY(kvault__read_run(&read, &op, 1, reterr));
    if (op.outcome == STORAGE_MISSING) {
        blob->base_absent = true;
        goto out;
    }
    if (op.cell.blob_id)
        return claim(blob, &op.cell, write, reterr);
    TRY(kvault__kv_load(&read, blob->kv->space, key_of(blob), &blob->bytes, reterr));
    blob->base_sum = kvault__value_checksum(blob->kv->space, key_of(blob),
                                            (kvault_slice){ blob->bytes.data, blob->bytes.size });
out:
    return rc;
}

kvault_status kvault_blob_open_append(kvault_kv *kv, kvault_slice key, kvault_blob **ret_blob, kvault_error *reterr)
{
    kvault_blob *blob = NULL;
    struct writing write;
    kvault_status rc;

    TRY(blob_new(kv, MODE_APPEND, key, &blob, reterr));
    TRY(kvault__write_begin(kv->vault, WRITING_VISIBLE, "append to a stream", &write, reterr));
    rc = open_base(blob, &write, reterr);
    rc = kvault__write_end(&write, rc, reterr);
    if (rc < 0) {
        blob->blob_id = 0; /* not ours */
        goto out;
    }
    kvault__undo_note(kv->vault, &blob->claim);
    *ret_blob = blob;
    return KVAULT_OK;
out:
    kvault_blob_free(blob);
    return rc;
}

/* ---- the end ---- */

void kvault_blob_abort(kvault_blob *blob)
{
    struct blob_record record;
    struct writing write;
    kvault_error ignored;
    kvault_status rc;

    if (blob->ended || blob->mode == MODE_READ)
        return;
    blob->ended = true;
    if (!blob->blob_id || kvault__undo_is_done(blob->kv->engine, &blob->claim))
        return; /* the id is not ours, or no longer */
    /* Best effort: what cannot be settled now is found by the sweep. */
    if (kvault__write_begin(blob->kv->vault, WRITING_SILENT, "end a stream", &write, &ignored) < 0) {
        abandon(blob);
        return;
    }
    rc = check_record(blob, &write, &record, &ignored);
    if (rc >= 0 && blob->published && written_size(blob) != record.size)
        rc = kvault__pieces_truncate(&write, blob->blob_id, record.size, &ignored);
    if (rc >= 0 && !blob->published) {
        struct storage_op op = { .kind = STORAGE_CHUNK_DELETE,
                                 .family = STORAGE_PIECES,
                                 .owner = blob->blob_id,
                                 .seq_end = blob->first_seq };

        rc = kvault__write_run(&write, &op, 1, &ignored);
    }
    if (rc >= 0)
        rc = kvault__blob_record_delete(&write, blob->blob_id, &ignored);
    if (kvault__write_end(&write, rc, &ignored) < 0)
        abandon(blob);
}
