/* column_read.c - a column's elements: what users call to read them.
 *
 * Each call looks at one state (view.c), the file's elements and the pending ones behind them. Where a commit
 * comes between the two, the call begins again: KVAULT_END means so inside this file. */
#include "kohakuvault/column.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "column/edit.h"
#include "column/read_cache.h"
#include "vault/pending.h"
#include "base/banned.h"

#define ADMIT_ELEMENTS 1024u /* a larger range is read once, more likely than again */
#define WINDOW_ELEMENTS 4096u
#define WINDOW_STEP_MAX 64u

void kvault_result_free(kvault_result *result)
{
    if (!result)
        return;
    kvault_buf_free(&result->data);
    kvault_buf_free(&result->offsets);
    result->count = 0;
}

static void result_empty(kvault_result *result)
{
    result->data.size = result->offsets.size = 0;
    result->count = 0;
}

/* What a call does with a view, `length` elements long with the pending ones. */
struct job {
    kvault_status (*run)(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr);
    kvault_result *result;
    const kvault_range *range;
    const int64_t *indices;
    kvault_column *column;
    uint64_t start, count;
    int64_t index;
    void *dest;
    uint64_t *ret_number;
    kvault_column_info *info;
    kvault_buf *name;
    uint64_t admit_start, admit_count; /* out: elements of the file that were read, and may be again */
};

/* One try. KVAULT_END: a commit came between. */
static kvault_status look_once(kvault_column *column, struct job *job, struct edit *view, kvault_error *reterr)
{
    uint64_t pending = 0, length;
    kvault_stamp stamp;
    bool stamped = kvault__cache_stamp(column, &stamp);
    kvault_status rc;

    TRY(kvault__view_open(column, view, reterr));
    if (rc != KVAULT_OK)
        return rc;
    rc = kvault__view_pending(view, &pending, reterr);
    length = kvault__edit_length(view) + pending;
    if (rc == KVAULT_OK && stamped)
        kvault__cache_note(column, view, length, &stamp);
    if (rc == KVAULT_OK)
        rc = job->run(view, length, job, reterr);
    if (rc == KVAULT_OK && stamped && job->admit_count && job->admit_count <= ADMIT_ELEMENTS)
        kvault__cache_admit(column, view, job->admit_start, job->admit_count);
    kvault__view_close(view);
out:
    return rc;
}

static kvault_status look(kvault_column *column, struct job *job, kvault_error *reterr)
{
    struct edit view;
    kvault_status rc;

    do {
        if (job->result)
            result_empty(job->result);
        rc = look_once(column, job, &view, reterr);
    } while (rc == KVAULT_END);
    return rc;
}

/* Elements [start, start + count), wherever they are. */
static kvault_status read_both(struct edit *view, uint64_t start, uint64_t count, kvault_result *result,
                               kvault_error *reterr)
{
    uint64_t length = kvault__edit_length(view), rest = start < length ? length - start : 0;
    uint64_t inside = count < rest ? count : rest;
    kvault_status rc;

    TRY(kvault__edit_read(view, start, inside, result, reterr));
    TRY(kvault__view_read_pending(view, inside ? 0 : start - length, count - inside, result, reterr));
out:
    return rc;
}

/* ---- at once ---- */

bool kvault_column_length_now(kvault_column *column, uint64_t *ret_length)
{
    return kvault__cache_length_now(column, ret_length);
}

bool kvault_column_get_now(kvault_column *column, int64_t index, void *dest, size_t capacity, size_t *ret_size)
{
    return kvault__cache_get_now(column, index, dest, capacity, ret_size);
}

bool kvault_column_get_range_now(kvault_column *column, const kvault_range *range, kvault_result *result)
{
    return kvault__cache_range_now(column, range, result);
}

/* ---- one element ---- */

static kvault_status run_get(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    uint64_t at;
    kvault_status rc;

    TRY(kvault__index_of(job->index, length, &at, reterr));
    job->admit_start = at;
    job->admit_count = 1;
    if (job->dest && at < kvault__edit_length(view))
        return kvault__fixed_read(&view->list, at, 1, job->dest, reterr);
    TRY(read_both(view, at, 1, job->result, reterr));
    if (rc == KVAULT_OK && job->dest)
        memcpy(job->dest, job->result->data.data, job->result->data.size);
out:
    return rc;
}

kvault_status kvault_column_get(kvault_column *column, int64_t index, void *dest, kvault_error *reterr)
{
    kvault_result result = KVAULT_RESULT_INIT;
    struct job job = { .run = run_get, .index = index, .dest = dest, .result = &result };
    size_t size;
    kvault_status rc;

    if (!column->elem_size)
        return kvault__fail(reterr, KVAULT_E_INVALID, "elements of any size are read into a result");
    if (kvault_column_get_now(column, index, dest, column->elem_size, &size))
        return KVAULT_OK;
    rc = look(column, &job, reterr);
    kvault_result_free(&result);
    return rc;
}

kvault_status kvault_column_get_one(kvault_column *column, int64_t index, kvault_result *result, kvault_error *reterr)
{
    struct job job = { .run = run_get, .index = index, .result = result };

    return look(column, &job, reterr);
}

/* ---- ranges ---- */

static kvault_status add_part(const struct edit *view, kvault_result *result, const kvault_elements *from, uint64_t i,
                              kvault_error *reterr)
{
    uint32_t size = view->meta.elem_size;

    if (!size)
        return kvault__result_add(result, kvault__element(from, i), reterr);
    result->count++;
    return kvault__buf_append(&result->data, (const uint8_t *)from->data + i * size, size, reterr);
}

/* Elements of a span whose step leaves gaps, or goes backward: by windows that cover several of them. */
static kvault_status read_stepping(struct edit *view, const struct span *span, kvault_result *result,
                                   kvault_error *reterr)
{
    uint64_t step = span->step < 0 ? 0 - (uint64_t)span->step : (uint64_t)span->step;
    uint64_t most = step > WINDOW_STEP_MAX ? 1 : WINDOW_ELEMENTS / step;
    kvault_result window = KVAULT_RESULT_INIT;
    kvault_elements elements;
    kvault_status rc = KVAULT_OK;

    for (uint64_t i = 0; i < span->count; i += most) {
        uint64_t count = span->count - i < most ? span->count - i : most;
        uint64_t a = kvault__span_at(span, i), b = kvault__span_at(span, i + count - 1), low = a < b ? a : b;

        result_empty(&window);
        TRY(read_both(view, low, (a < b ? b - a : a - b) + 1, &window, reterr));
        if (rc == KVAULT_END)
            goto out;
        elements = kvault__elements_of(&window);
        for (uint64_t k = i; k < i + count; k++)
            TRY(add_part(view, result, &elements, kvault__span_at(span, k) - low, reterr));
    }
out:
    kvault_result_free(&window);
    return rc;
}

static kvault_status run_range(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    struct span span;
    kvault_status rc;

    TRY(kvault__span_of(job->range, length, &span, reterr));
    if (!span.count)
        return KVAULT_OK;
    job->admit_start = span.start;
    job->admit_count = span.step == 1 ? span.count : 0;
    rc = span.step == 1 ? read_both(view, span.start, span.count, job->result, reterr)
                        : read_stepping(view, &span, job->result, reterr);
out:
    return rc;
}

kvault_status kvault_column_get_range(kvault_column *column, const kvault_range *range, kvault_result *result,
                                      kvault_error *reterr)
{
    struct job job = { .run = run_range, .range = range, .result = result };

    if (kvault_column_get_range_now(column, range, result))
        return KVAULT_OK;
    return look(column, &job, reterr);
}

static kvault_status run_take(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    uint64_t at;
    kvault_status rc = KVAULT_OK;

    for (uint64_t i = 0; i < job->count && rc == KVAULT_OK; i++) {
        TRY(kvault__index_of(job->indices[i], length, &at, reterr));
        rc = read_both(view, at, 1, job->result, reterr);
        if (rc == KVAULT_OK && job->column)
            kvault__cache_admit(job->column, view, at, 1);
    }
out:
    return rc;
}

kvault_status kvault_column_take(kvault_column *column, const int64_t *indices, uint64_t count, kvault_result *result,
                                 kvault_error *reterr)
{
    struct job job = { .run = run_take, .indices = indices, .count = count, .result = result, .column = column };

    if (kvault__cache_take_now(column, indices, count, result))
        return KVAULT_OK;
    return look(column, &job, reterr);
}

/* The file's elements go straight to where they are wanted. */
static kvault_status run_read(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    uint64_t rest = job->start < length ? length - job->start : 0, count = job->count < rest ? job->count : rest;
    uint64_t file = kvault__edit_length(view), ahead = job->start < file ? file - job->start : 0;
    uint64_t inside = count < ahead ? count : ahead;
    kvault_status rc = KVAULT_OK;

    if (inside)
        TRY(kvault__fixed_read(&view->list, job->start, inside, job->dest, reterr));
    if (count > inside) {
        TRY(kvault__view_read_pending(view, inside ? 0 : job->start - file, count - inside, job->result, reterr));
        if (rc == KVAULT_OK)
            memcpy((uint8_t *)job->dest + inside * view->meta.elem_size, job->result->data.data,
                   job->result->data.size);
    }
    *job->ret_number = count;
out:
    return rc;
}

kvault_status kvault_column_read(kvault_column *column, uint64_t start, void *dest, uint64_t count, uint64_t *ret_count,
                                 kvault_error *reterr)
{
    kvault_result result = KVAULT_RESULT_INIT;
    uint64_t got = 0;
    struct job job = {
        .run = run_read, .start = start, .count = count, .dest = dest, .ret_number = &got, .result = &result
    };
    kvault_status rc;

    if (!column->elem_size)
        return kvault__fail(reterr, KVAULT_E_INVALID, "elements of any size are read into a result");
    rc = look(column, &job, reterr);
    kvault_result_free(&result);
    if (rc == KVAULT_OK)
        *ret_count = got;
    return rc;
}

/* ---- what it is ---- */

static kvault_status run_length(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    (void)view;
    (void)reterr;
    *job->ret_number = length;
    return KVAULT_OK;
}

kvault_status kvault_column_length(kvault_column *column, uint64_t *ret_length, kvault_error *reterr)
{
    uint64_t length = 0;
    struct job job = { .run = run_length, .ret_number = &length };
    kvault_status rc;

    if (kvault_column_length_now(column, ret_length))
        return KVAULT_OK;
    rc = look(column, &job, reterr);

    if (rc == KVAULT_OK)
        *ret_length = length;
    return rc;
}

static kvault_status run_name(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    (void)length;
    job->name->size = 0;
    return kvault__buf_append(job->name, view->meta.name, view->meta.name_size, reterr);
}

kvault_status kvault_column_name(kvault_column *column, kvault_buf *ret_name, kvault_error *reterr)
{
    kvault_buf name = KVAULT_BUF_INIT;
    struct job job = { .run = run_name, .name = &name };
    kvault_status rc = look(column, &job, reterr);

    if (rc == KVAULT_OK)
        *ret_name = name;
    else
        kvault_buf_free(&name);
    return rc;
}

static kvault_status on_bytes(void *ctx, const struct pending_tail *frozen, const struct pending_tail *active,
                              kvault_error *reterr)
{
    uint64_t *bytes = ctx;

    (void)reterr;
    *bytes = (frozen ? frozen->data.size : 0) + (active ? active->data.size : 0);
    return KVAULT_OK;
}

static kvault_status run_info(struct edit *view, uint64_t length, struct job *job, kvault_error *reterr)
{
    const struct column_meta *meta = &view->meta;
    uint64_t pending = 0, tail = view->var.tail.bytes - view->var.tail.count * 4;
    kvault_status rc = kvault__view_look(view, on_bytes, &pending, reterr);

    *job->info = (kvault_column_info){ .length = length, .slack_bytes = meta->slack, .revision = meta->revision };
    job->info->bytes = meta->elem_size ? length * meta->elem_size : meta->bytes - meta->slack + tail + pending;
    return rc;
}

kvault_status kvault_column_info_get(kvault_column *column, kvault_column_info *ret_info, kvault_error *reterr)
{
    kvault_column_info info = { 0 };
    struct job job = { .run = run_info, .info = &info };
    kvault_status rc = look(column, &job, reterr);

    if (rc == KVAULT_OK)
        *ret_info = info;
    return rc;
}
