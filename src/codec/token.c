/* token.c - the part of readers and writers that does not depend on the format:
 * containers, skipping and checking, chunks, growth. See token.h for `owed`. */
#include "codec/token.h"

#include "base/buf.h"
#include "codec/text.h"
#include "base/banned.h"

/* ---- Readers ---------------------------------------------------------------- */

static int64_t position_of(const kvault_reader *reader)
{
    return (int64_t)kvault_reader_offset(reader);
}

kvault_status kvault__truncated(const kvault_reader *reader, uint64_t need, kvault_error *reterr)
{
    size_t remain = (size_t)(reader->end - reader->at);

    return kvault__fail_at(reterr, KVAULT_E_CORRUPT, position_of(reader),
                           "Not enough data: the item at byte %zu takes %llu bytes at least, %zu remain",
                           kvault_reader_offset(reader), (unsigned long long)need, remain);
}

kvault_status kvault__take_container(kvault_reader *reader, size_t head, kvault_token *ret_token,
                                     kvault_token_kind kind, uint64_t count, kvault_error *reterr)
{
    uint64_t remain = (uint64_t)(reader->end - reader->at) - head;
    uint64_t owed = reader->owed - 1;
    unsigned doubled = kind == KVAULT_TOKEN_MAP; /* as a shift: a division costs more than all the rest */

    if (reader->depth == KVAULT_DEPTH_MAX)
        return kvault__fail_at(reterr, KVAULT_E_TOOBIG, position_of(reader),
                               "arrays, maps and tags nest deeper than %d at byte %zu", KVAULT_DEPTH_MAX,
                               kvault_reader_offset(reader));
    if (count == KVAULT_COUNT_UNKNOWN) {
        owed += 1; /* the break */
    } else {
        if (owed > remain || count > (remain - owed) >> doubled)
            return kvault__fail_at(reterr, KVAULT_E_CORRUPT, position_of(reader),
                                   "Not enough data: %llu items and %llu after them are promised at byte %zu, "
                                   "%llu bytes remain",
                                   (unsigned long long)count, (unsigned long long)owed, kvault_reader_offset(reader),
                                   (unsigned long long)remain);
        owed += count << doubled;
    }
    (void)kvault__take(reader, head, ret_token, kind, count);
    reader->owed = owed;
    reader->depth++;
    return KVAULT_OK;
}

kvault_status kvault_reader_more(kvault_reader *reader, unsigned width, bool *ret_more, kvault_error *reterr)
{
    if (reader->at == reader->end)
        return kvault__truncated(reader, 1, reterr);
    *ret_more = reader->at[0] != 0xff;
    if (*ret_more) {
        reader->owed += width;
    } else {
        reader->at++;
        reader->owed--;
    }
    return KVAULT_OK;
}

static kvault_status check_utf8(const kvault_reader *reader, kvault_slice text, kvault_error *reterr)
{
    size_t good = kvault__utf8_prefix(text);
    size_t position;

    if (good == text.size)
        return KVAULT_OK;
    position = (size_t)((const uint8_t *)text.data - reader->start) + good;
    return kvault__fail_at(reterr, KVAULT_E_CORRUPT, (int64_t)position, "text is not UTF-8 at byte %zu", position);
}

/* Each chunk holds whole characters, as RFC 8949 (3.2.3) wants it. */
static kvault_status check_text(const kvault_reader *reader, const kvault_token *token, kvault_error *reterr)
{
    const uint8_t *at = token->bytes.data;
    kvault_slice chunk;
    kvault_status rc = KVAULT_OK;

    if (!token->chunked)
        return check_utf8(reader, token->bytes, reterr);
    while (rc == KVAULT_OK && kvault__next_chunk(&at, &chunk))
        rc = check_utf8(reader, chunk, reterr);
    return rc;
}

/* An open container: how many items are to be read before it ends, or, where
 * `width` is not 0, before it is asked for more. */
struct open_container {
    uint64_t left;
    unsigned width;
};

/* Leave the containers that are complete. *ret_done: so is the outermost item. */
static kvault_status close_complete(kvault_reader *reader, struct open_container *open, size_t *top, bool *ret_done,
                                    kvault_error *reterr)
{
    while (open[*top].left == 0) {
        bool more = false;

        if (open[*top].width) {
            kvault_status rc = kvault_reader_more(reader, open[*top].width, &more, reterr);
            if (rc < 0)
                return rc;
        }
        if (more) {
            open[*top].left = open[*top].width;
            break;
        }
        if (*top == 0) {
            *ret_done = true;
            return KVAULT_OK;
        }
        kvault_reader_leave(reader);
        (*top)--;
    }
    *ret_done = false;
    return KVAULT_OK;
}

kvault_status kvault_reader_skip(kvault_format format, kvault_reader *reader, kvault_error *reterr)
{
    struct open_container open[KVAULT_DEPTH_MAX + 1]; /* the reader refuses to go deeper */
    kvault_token token;
    kvault_status rc;
    size_t top = 0;

    open[0] = (struct open_container){ 1, 0 };
    for (;;) {
        bool done, map;

        TRY(close_complete(reader, open, &top, &done, reterr));
        if (done)
            goto out;
        TRY(kvault_token_read(format, reader, &token, reterr));
        open[top].left--;
        if (token.kind == KVAULT_TOKEN_TEXT)
            TRY(check_text(reader, &token, reterr));
        if (token.kind != KVAULT_TOKEN_ARRAY && token.kind != KVAULT_TOKEN_MAP && token.kind != KVAULT_TOKEN_TAG)
            continue;
        map = token.kind == KVAULT_TOKEN_MAP;
        if (token.kind == KVAULT_TOKEN_TAG)
            open[++top] = (struct open_container){ 1, 0 };
        else if (token.u == KVAULT_COUNT_UNKNOWN)
            open[++top] = (struct open_container){ 0, map ? 2 : 1 };
        else
            open[++top] = (struct open_container){ map ? token.u * 2 : token.u, 0 };
    }
out:
    return rc;
}

kvault_status kvault_packer_check(kvault_format format, kvault_slice record, kvault_error *reterr)
{
    kvault_reader reader = kvault_reader_init(record, 0);
    kvault_status rc = kvault_reader_skip(format, &reader, reterr);

    if (rc < 0)
        return rc;
    if (reader.at != reader.end)
        return kvault__fail_at(reterr, KVAULT_E_CORRUPT, position_of(&reader),
                               "the record ends at byte %zu, %zu bytes follow it", kvault_reader_offset(&reader),
                               (size_t)(reader.end - reader.at));
    return KVAULT_OK;
}

void kvault_token_join(const kvault_token *token, void *to)
{
    const uint8_t *at = token->bytes.data;
    uint8_t *out = to;
    kvault_slice chunk;

    if (!token->chunked) {
        if (token->bytes.size)
            memcpy(to, at, token->bytes.size);
        return;
    }
    while (kvault__next_chunk(&at, &chunk)) {
        if (!chunk.size)
            continue;
        memcpy(out, chunk.data, chunk.size);
        out += chunk.size;
    }
}

/* ---- Writers ---------------------------------------------------------------- */

static kvault_status grow_buf(kvault_writer *writer, size_t bytes, kvault_error *reterr)
{
    kvault_buf *buf = writer->owner;
    kvault_status rc;

    kvault_writer_finish(writer);
    rc = kvault__buf_reserve(buf, bytes, reterr);
    if (rc < 0)
        return rc;
    writer->at = buf->data + buf->size;
    writer->end = buf->data + buf->capacity;
    return KVAULT_OK;
}

kvault_writer kvault_writer_init(kvault_buf *buf)
{
    kvault_writer writer = { NULL, NULL, 0, buf, grow_buf };

    if (buf->data) {
        writer.at = buf->data + buf->size;
        writer.end = buf->data + buf->capacity;
    }
    return writer;
}

void kvault_writer_finish(kvault_writer *writer)
{
    kvault_buf *buf = writer->owner;

    if (writer->at)
        buf->size = (size_t)(writer->at - buf->data);
}

kvault_status kvault_writer_too_deep(kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_TOOBIG, "arrays, maps and tags nest deeper than %d", KVAULT_DEPTH_MAX);
}
