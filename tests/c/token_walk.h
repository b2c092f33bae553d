/* token_walk.h - for tests and fuzz targets: a record as readable text, and a
 * record read and written again token by token. */
#ifndef TOKEN_WALK_H
#define TOKEN_WALK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "kohakuvault/packer.h"

static inline bool is_container(const kvault_token *token)
{
    return token->kind == KVAULT_TOKEN_ARRAY || token->kind == KVAULT_TOKEN_MAP || token->kind == KVAULT_TOKEN_TAG;
}

/* How many items follow a container's token, though it may not say so; the reader stands behind the token. */
static inline kvault_status count_items(kvault_format format, const kvault_reader *reader, const kvault_token *token,
                                        uint64_t *ret_count, kvault_error *reterr)
{
    unsigned width = token->kind == KVAULT_TOKEN_MAP ? 2 : 1;
    kvault_reader ahead = *reader;
    kvault_status rc = KVAULT_OK;
    bool more = true;

    *ret_count = token->kind == KVAULT_TOKEN_TAG ? 1 : token->u * width;
    if (token->kind == KVAULT_TOKEN_TAG || token->u != KVAULT_COUNT_UNKNOWN)
        goto out;
    for (*ret_count = 0;; *ret_count += width) {
        TRY(kvault_reader_more(&ahead, width, &more, reterr));
        if (!more)
            goto out;
        for (unsigned i = 0; i < width; i++)
            TRY(kvault_reader_skip(format, &ahead, reterr));
    }
out:
    return rc;
}

/* Read one item and write it, shortest form for whatever form it had. */
static inline kvault_status recode(kvault_format from, kvault_reader *reader, kvault_format to, kvault_writer *writer,
                                   kvault_error *reterr)
{
    kvault_token token;
    kvault_status rc;
    uint64_t count = 0;
    bool open_ended, more;

    TRY(kvault_token_read(from, reader, &token, reterr));
    open_ended = is_container(&token) && token.kind != KVAULT_TOKEN_TAG && token.u == KVAULT_COUNT_UNKNOWN;
    if (is_container(&token))
        TRY(count_items(from, reader, &token, &count, reterr));
    if (open_ended)
        token.u = token.kind == KVAULT_TOKEN_MAP ? count / 2 : count;
    TRY(kvault_token_write(to, writer, &token, reterr));
    if (!is_container(&token))
        goto out;
    for (uint64_t i = 0; i < count; i++) {
        if (open_ended && (token.kind == KVAULT_TOKEN_ARRAY || i % 2 == 0))
            TRY(kvault_reader_more(reader, token.kind == KVAULT_TOKEN_MAP ? 2 : 1, &more, reterr));
        TRY(recode(from, reader, to, writer, reterr));
    }
    if (open_ended)
        TRY(kvault_reader_more(reader, 1, &more, reterr));
    kvault_reader_leave(reader);
    kvault_writer_leave(writer);
out:
    return rc;
}

/* A whole record; the buffer is the caller's on every outcome. */
static inline kvault_status recode_record(kvault_format from, kvault_slice record, kvault_format to, kvault_buf *buf,
                                          kvault_error *reterr)
{
    kvault_reader reader = kvault_reader_init(record, 0);
    kvault_writer writer = kvault_writer_init(buf);
    kvault_status rc = recode(from, &reader, to, &writer, reterr);

    kvault_writer_finish(&writer);
    return rc;
}

struct shown {
    char text[4000];
    size_t size;
};

static inline void show_text(struct shown *shown, const char *text)
{
    size_t size = strlen(text);

    if (size >= sizeof shown->text - shown->size)
        size = sizeof shown->text - shown->size - 1;
    memcpy(shown->text + shown->size, text, size);
    shown->size += size;
    shown->text[shown->size] = '\0';
}

static inline void show_bytes(struct shown *shown, const kvault_token *token, bool as_text)
{
    uint8_t *bytes = malloc(token->bytes.size + 1);
    char hex[3];

    if (!bytes)
        abort();
    kvault_token_join(token, bytes);
    bytes[token->bytes.size] = '\0';
    if (as_text)
        show_text(shown, (const char *)bytes);
    for (size_t i = 0; i < token->bytes.size && !as_text; i++) {
        snprintf(hex, sizeof hex, "%02x", bytes[i]);
        show_text(shown, hex);
    }
    free(bytes);
}

static inline void show_leaf(struct shown *shown, const kvault_token *token)
{
    char text[64] = "";

    switch (token->kind) {
    case KVAULT_TOKEN_NULL:
        show_text(shown, "null");
        return;
    case KVAULT_TOKEN_BOOL:
        show_text(shown, token->u ? "true" : "false");
        return;
    case KVAULT_TOKEN_INT:
        snprintf(text, sizeof text, "%lld", (long long)token->i);
        break;
    case KVAULT_TOKEN_UINT:
        snprintf(text, sizeof text, "%llu", (unsigned long long)token->u);
        break;
    case KVAULT_TOKEN_NINT:
        snprintf(text, sizeof text, "-1-%llu", (unsigned long long)token->u);
        break;
    case KVAULT_TOKEN_FLOAT:
        snprintf(text, sizeof text, "%.17gf", token->f);
        break;
    case KVAULT_TOKEN_TIMESTAMP:
        snprintf(text, sizeof text, "T(%lld,%d)", (long long)token->i, (int)token->extra);
        break;
    case KVAULT_TOKEN_SIMPLE:
        snprintf(text, sizeof text, "simple(%llu)", (unsigned long long)token->u);
        break;
    case KVAULT_TOKEN_TEXT:
        show_text(shown, "\"");
        show_bytes(shown, token, true);
        show_text(shown, "\"");
        return;
    case KVAULT_TOKEN_BYTES:
    case KVAULT_TOKEN_EXT:
    case KVAULT_TOKEN_BIGNUM:
        if (token->kind == KVAULT_TOKEN_EXT)
            snprintf(text, sizeof text, "X%d", (int)token->extra);
        else if (token->kind == KVAULT_TOKEN_BIGNUM)
            snprintf(text, sizeof text, token->extra ? "-1-n" : "n");
        show_text(shown, text);
        show_text(shown, "'");
        show_bytes(shown, token, false);
        show_text(shown, "'");
        return;
    case KVAULT_TOKEN_ARRAY:
    case KVAULT_TOKEN_MAP:
    case KVAULT_TOKEN_TAG:
        abort();
    }
    show_text(shown, text);
}

/* One item as text: [1, "a"], {1: 2}, 7(tagged), [_ open-ended]. */
static inline kvault_status show(kvault_format format, kvault_reader *reader, struct shown *shown, kvault_error *reterr)
{
    kvault_token token;
    kvault_status rc;
    uint64_t count = 0;
    char text[32];
    bool map, open_ended, more;

    TRY(kvault_token_read(format, reader, &token, reterr));
    if (!is_container(&token)) {
        show_leaf(shown, &token);
        goto out;
    }
    TRY(count_items(format, reader, &token, &count, reterr));
    map = token.kind == KVAULT_TOKEN_MAP;
    open_ended = token.kind != KVAULT_TOKEN_TAG && token.u == KVAULT_COUNT_UNKNOWN;
    snprintf(text, sizeof text, "%llu(", (unsigned long long)token.u);
    show_text(shown, map ? "{" : token.kind == KVAULT_TOKEN_ARRAY ? "[" : text);
    show_text(shown, open_ended ? "_ " : "");
    for (uint64_t i = 0; i < count; i++) {
        show_text(shown, i == 0 ? "" : map && i % 2 ? ": " : ", ");
        if (open_ended && (!map || i % 2 == 0))
            TRY(kvault_reader_more(reader, map ? 2 : 1, &more, reterr));
        TRY(show(format, reader, shown, reterr));
    }
    if (open_ended)
        TRY(kvault_reader_more(reader, 1, &more, reterr));
    kvault_reader_leave(reader);
    show_text(shown, map ? "}" : token.kind == KVAULT_TOKEN_ARRAY ? "]" : ")");
out:
    return rc;
}

/* Hexadecimal digits -> bytes in a block of exactly their size, so that a read
 * behind them is seen by a sanitizer. Free `data`. */
static inline kvault_slice unhex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = malloc(size ? size : 1);

    if (!bytes)
        abort();
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            abort();
        bytes[i] = (uint8_t)byte;
    }
    return (kvault_slice){ bytes, size };
}

struct vector_row {
    const char *hex;
    const char *shown;
    const char *shortest; /* NULL: hex is the shortest form */
};

struct bad_row {
    const char *hex;
    kvault_status status;
    int64_t position;
    const char *message;
};

#endif
