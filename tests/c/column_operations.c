/* column_operations.c - the operations on columns. See operations.h. */
#include <stdlib.h>

#include "operations.h"

static const uint64_t few_offsets[] = { 0, 5, 5, 70, 3000 };

/* Elements of `numbers`, and four of `texts`. */
static kvault_elements numbers_of(uint64_t count, unsigned seed)
{
    return (kvault_elements){ operation_bytes(count * 8, seed).data, NULL, count };
}

static kvault_elements few_texts(unsigned seed)
{
    return (kvault_elements){ operation_bytes(3000, seed).data, few_offsets, 4 };
}

static kvault_elements one_text(unsigned seed, const uint64_t offsets[2])
{
    return (kvault_elements){ operation_bytes(offsets[1], seed).data, offsets, 1 };
}

/* Something in the log, so that reads look there too, and lists of chunks, which the first edit makes. */
static kvault_status prepare_edited(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = numbers_of(3, 3), texts = few_texts(3);
    kvault_status rc = kvault_column_insert(subject->numbers, 9000, &numbers, reterr);

    STEP(kvault_column_insert(subject->texts, 700, &texts, reterr));
    return rc;
}

static kvault_status prepare_pending(struct subject *subject, kvault_error *reterr)
{
    kvault_cache_setting setting = { true, true, 1 << 20, 200000, 0 };
    kvault_elements numbers = numbers_of(3000, 3), texts = few_texts(3);
    kvault_status rc = kvault_cache_set(subject->vault, &setting, NULL, reterr);

    STEP(kvault_column_append(subject->numbers, &numbers, reterr));
    STEP(kvault_column_append(subject->texts, &texts, reterr));
    STEP(kvault_kv_put(subject->kv, text("pending"), operation_bytes(SMALL, 3), reterr));
    return rc;
}

/* ---- the columns of a file ---- */

static kvault_status run_create(struct subject *subject, kvault_error *reterr)
{
    kvault_column *column = NULL;
    kvault_status rc = kvault_column_create(subject->vault, text("new"), text("f64"), NULL, &column, reterr);

    subject->wrong |= rc > 0;
    kvault_column_free(column);
    return rc;
}

static kvault_status run_drop(struct subject *subject, kvault_error *reterr)
{
    return kvault_column_drop(subject->vault, text("texts"), reterr);
}

static kvault_status run_rename(struct subject *subject, kvault_error *reterr)
{
    return kvault_column_rename(subject->vault, text("numbers"), text("renamed"), reterr);
}

static kvault_status run_look(struct subject *subject, kvault_error *reterr)
{
    kvault_column_info info;
    uint64_t length = 0;
    kvault_status rc = kvault_column_exists(subject->vault, text("numbers"), reterr);

    subject->wrong |= rc > 0;
    STEP(kvault_column_length(subject->numbers, &length, reterr));
    if (rc >= 0)
        subject->wrong |= length != NUMBERS + 3;
    STEP(kvault_column_info_get(subject->texts, &info, reterr));
    return rc;
}

/* ---- writing ---- */

static kvault_status run_append(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = numbers_of(1, 4);

    return kvault_column_append(subject->numbers, &numbers, reterr);
}

static kvault_status run_append_many(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = numbers_of(20000, 4);

    return kvault_column_append(subject->numbers, &numbers, reterr);
}

static kvault_status run_append_texts(struct subject *subject, kvault_error *reterr)
{
    kvault_elements texts = few_texts(4);

    return kvault_column_append(subject->texts, &texts, reterr);
}

/* An element that is larger than a chunk lies in pieces. */
static kvault_status run_append_large(struct subject *subject, kvault_error *reterr)
{
    const uint64_t offsets[] = { 0, LARGE };
    kvault_elements element = one_text(4, offsets);

    return kvault_column_append(subject->texts, &element, reterr);
}

static kvault_status run_insert(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = numbers_of(500, 4);

    return kvault_column_insert(subject->numbers, 5000, &numbers, reterr);
}

static kvault_status run_insert_texts(struct subject *subject, kvault_error *reterr)
{
    kvault_elements texts = few_texts(4);

    return kvault_column_insert(subject->texts, 500, &texts, reterr);
}

static kvault_status run_set(struct subject *subject, kvault_error *reterr)
{
    kvault_elements number = numbers_of(1, 4);

    return kvault_column_set(subject->numbers, 12345, &number, reterr);
}

static kvault_status run_set_text(struct subject *subject, kvault_error *reterr)
{
    const uint64_t offsets[] = { 0, 5000 };
    kvault_elements element = one_text(4, offsets);

    return kvault_column_set(subject->texts, -20, &element, reterr);
}

static kvault_status run_set_range(struct subject *subject, kvault_error *reterr)
{
    kvault_range range = { 100, 20000, 7 };
    kvault_elements numbers = numbers_of((20000 - 100 + 6) / 7, 4);

    return kvault_column_set_range(subject->numbers, &range, &numbers, reterr);
}

static kvault_status run_delete(struct subject *subject, kvault_error *reterr)
{
    return kvault_column_delete(subject->texts, 30, reterr);
}

static kvault_status run_delete_range(struct subject *subject, kvault_error *reterr)
{
    kvault_range range = { 10, 15000, 3 };

    return kvault_column_delete_range(subject->numbers, &range, reterr);
}

static kvault_status run_delete_texts(struct subject *subject, kvault_error *reterr)
{
    kvault_range range = { 100, 1000, 1 };

    return kvault_column_delete_range(subject->texts, &range, reterr);
}

static kvault_status run_pop(struct subject *subject, kvault_error *reterr)
{
    kvault_buf data = KVAULT_BUF_INIT;
    kvault_status rc = kvault_column_pop(subject->numbers, -1, &data, reterr);

    if (rc >= 0)
        subject->wrong |= data.size != 8;
    kvault_buf_free(&data);
    return rc;
}

static kvault_status run_clear(struct subject *subject, kvault_error *reterr)
{
    return kvault_column_clear(subject->texts, reterr);
}

static kvault_status run_compact(struct subject *subject, kvault_error *reterr)
{
    uint64_t slack;

    return kvault_column_compact(subject->texts, &slack, reterr);
}

static kvault_status run_flush(struct subject *subject, kvault_error *reterr)
{
    return kvault_flush(subject->vault, NULL, reterr);
}

static kvault_status in_transaction(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = numbers_of(700, 4), texts = few_texts(4);
    kvault_status rc = kvault_column_append(subject->numbers, &numbers, reterr);

    STEP(kvault_kv_put(subject->kv, text("beside"), operation_bytes(SMALL, 4), reterr));
    STEP(kvault_begin(subject->vault, reterr));
    STEP(kvault_column_append(subject->texts, &texts, reterr));
    STEP(kvault_rollback(subject->vault, reterr));
    STEP(kvault_column_insert(subject->texts, 3, &texts, reterr));
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

/* ---- reading ---- */

static kvault_status run_read(struct subject *subject, kvault_error *reterr)
{
    static uint8_t got[NUMBERS * 8];
    const uint8_t *want = operation_bytes(NUMBERS * 8, 0).data;
    const int64_t indices[] = { -1, 0, 1499, 3 };
    kvault_range range = { 8000, 1000, -3 };
    kvault_result result = KVAULT_RESULT_INIT;
    uint64_t count = 0;
    kvault_status rc = kvault_column_get(subject->numbers, 77, got, reterr);

    if (rc >= 0)
        subject->wrong |= memcmp(got, want + 77 * 8, 8) != 0;
    STEP(kvault_column_read(subject->numbers, 100, got, 5000, &count, reterr));
    if (rc >= 0)
        subject->wrong |= count != 5000 || memcmp(got, want + 800, 40000) != 0;
    STEP(kvault_column_get_range(subject->numbers, &range, &result, reterr));
    if (rc >= 0)
        subject->wrong |= result.count != 2334 || memcmp(result.data.data, want + 64000, 8) != 0;
    STEP(kvault_column_take(subject->texts, indices, 4, &result, reterr));
    if (rc >= 0)
        subject->wrong |= result.count != 4;
    STEP(kvault_column_get_one(subject->texts, 3, &result, reterr));
    if (rc >= 0)
        subject->wrong |= result.data.size != 3 * 37;
    kvault_result_free(&result);
    return rc;
}

const struct operation column_operations[] = {
    { .name = "create a column", .prepare = prepare_edited, .run = run_create },
    { .name = "drop a column", .prepare = prepare_edited, .run = run_drop },
    { .name = "rename a column", .prepare = prepare_edited, .run = run_rename },
    { .name = "look at columns", .prepare = prepare_edited, .run = run_look },
    { .name = "append a number", .run = run_append },
    { .name = "append a number behind edits", .prepare = prepare_edited, .run = run_append },
    { .name = "append numbers", .prepare = prepare_edited, .run = run_append_many },
    { .name = "append texts", .run = run_append_texts },
    { .name = "append a large element", .prepare = prepare_edited, .run = run_append_large },
    { .name = "insert numbers at first", .run = run_insert },
    { .name = "insert numbers", .prepare = prepare_edited, .run = run_insert },
    { .name = "insert texts", .prepare = prepare_edited, .run = run_insert_texts },
    { .name = "set a number", .prepare = prepare_edited, .run = run_set },
    { .name = "set a text", .prepare = prepare_edited, .run = run_set_text },
    { .name = "set a range", .prepare = prepare_edited, .run = run_set_range },
    { .name = "delete a text", .prepare = prepare_edited, .run = run_delete },
    { .name = "delete a range", .prepare = prepare_edited, .run = run_delete_range },
    { .name = "delete texts", .prepare = prepare_edited, .run = run_delete_texts },
    { .name = "pop a number", .prepare = prepare_edited, .run = run_pop },
    { .name = "clear a column", .prepare = prepare_edited, .run = run_clear },
    { .name = "compact a column", .prepare = prepare_edited, .run = run_compact },
    { .name = "flush appends", .prepare = prepare_pending, .run = run_flush },
    { .name = "append to what is pending", .prepare = prepare_pending, .run = run_append },
    { .name = "insert with pending appends", .prepare = prepare_pending, .run = run_insert },
    { .name = "transaction over columns", .prepare = prepare_pending, .run = run_transaction },
    { .name = "read columns", .prepare = prepare_edited, .run = run_read },
};
const int column_operation_count = sizeof column_operations / sizeof column_operations[0];
