/* kv_scan.c - keys in order, a page at a time, with nothing open in between.
 *
 * A page merges two ordered lists: what is pending, then what the file has (in that
 * order of asking: see engine.h). Each list is cut after some rows, so the page ends at the
 * nearer of the two cuts; what lies behind it is asked for again. The next page starts
 * behind the last key that was looked at, so every write made meanwhile is seen or not,
 * but a key that is there throughout comes exactly once.
 *
 * A value in pieces is read when its turn comes; a key deleted by then is passed over. */
#include "kv/kv_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/banned.h"

#define PAGE_ROWS 256
#define PAGE_BYTES ((size_t)1 << 20)

struct row {
    size_t key_at, value_at; /* in the list's bytes */
    size_t key_size, value_size;
    bool tombstone;          /* pending deletion */
    bool later;              /* its value is in pieces */
};

struct list {
    struct row rows[PAGE_ROWS];
    size_t count, next;
    bool cut; /* there may be more behind the last row */
    kvault_buf bytes;
};

struct kvault_kv_scan {
    kvault_kv *kv;
    kvault_buf start, stop; /* bounds: what is left of the range */
    bool has_start, has_stop, start_excluded, reverse, with_values, done;
    uint64_t left;
    struct list pending, file;
    kvault_buf value; /* of the row that was read by itself */
};

/* ---- bounds ---- */

/* Turn a prefix into the first key behind all that begin with it; there is none if it is all 0xFF. */
static bool prefix_to_end(kvault_buf *prefix)
{
    while (prefix->size && prefix->data[prefix->size - 1] == 0xff)
        prefix->size--;
    if (!prefix->size)
        return false;
    prefix->data[prefix->size - 1]++;
    return true;
}

static kvault_status set_bounds(kvault_kv_scan *scan, const kvault_kv_scan_options *options, kvault_error *reterr)
{
    kvault_slice prefix = options->prefix, start = prefix;
    kvault_status rc;

    scan->has_start = prefix.size > 0 || options->start;
    if (options->start && (!prefix.size || kvault__key_compare(*options->start, prefix) > 0))
        start = *options->start;
    TRY(kvault__buf_append(&scan->start, start.data, start.size, reterr));
    TRY(kvault__buf_append(&scan->stop, prefix.data, prefix.size, reterr));
    scan->has_stop = prefix.size > 0 && prefix_to_end(&scan->stop);
    if (options->stop && (!scan->has_stop ||
                          kvault__key_compare(*options->stop, (kvault_slice){ scan->stop.data, scan->stop.size }) < 0)) {
        scan->has_stop = true;
        scan->stop.size = 0;
        TRY(kvault__buf_append(&scan->stop, options->stop->data, options->stop->size, reterr));
    }
out:
    return rc;
}

static void list_init(struct list *list)
{
    list->count = list->next = 0;
    list->cut = false;
    list->bytes = (kvault_buf)KVAULT_BUF_INIT;
}

static void scan_init(kvault_kv_scan *scan)
{
    scan->start = scan->stop = scan->value = (kvault_buf)KVAULT_BUF_INIT;
    scan->has_start = scan->has_stop = scan->start_excluded = scan->done = false;
    list_init(&scan->pending);
    list_init(&scan->file);
}

kvault_status kvault_kv_scan_open(kvault_kv *kv, const kvault_kv_scan_options *options, kvault_kv_scan **ret_scan,
                                  kvault_error *reterr)
{
    kvault_kv_scan *scan = NULL;
    kvault_status rc;

    TRY(kvault__check_open(kv->vault, reterr));
    scan = kvault__alloc(sizeof *scan);
    if (!scan) {
        rc = kvault__fail_nomem(reterr, sizeof *scan);
        goto out;
    }
    scan_init(scan); /* not the rows, which are most of it */
    scan->kv = kv;
    scan->reverse = options->reverse;
    scan->with_values = options->with_values;
    scan->left = options->limit;
    TRY(set_bounds(scan, options, reterr));
    *ret_scan = scan;
    return KVAULT_OK;
out:
    kvault_kv_scan_free(scan);
    return rc;
}

void kvault_kv_scan_free(kvault_kv_scan *scan)
{
    if (!scan)
        return;
    kvault_buf_free(&scan->start);
    kvault_buf_free(&scan->stop);
    kvault_buf_free(&scan->pending.bytes);
    kvault_buf_free(&scan->file.bytes);
    kvault_buf_free(&scan->value);
    kvault__free(scan);
}

/* ---- filling a page ---- */

static kvault_status add_row(struct list *list, kvault_slice key, kvault_slice value, bool tombstone, bool later,
                             kvault_error *reterr)
{
    struct row *row = &list->rows[list->count];
    kvault_status rc;

    if (list->count && list->bytes.size + key.size + value.size > PAGE_BYTES) {
        list->cut = true;
        return KVAULT_END;
    }
    *row = (struct row){ .key_at = list->bytes.size, .key_size = key.size, .tombstone = tombstone, .later = later };
    TRY(kvault__buf_append(&list->bytes, key.data, key.size, reterr));
    row->value_at = list->bytes.size;
    row->value_size = value.size;
    TRY(kvault__buf_append(&list->bytes, value.data, value.size, reterr));
    list->count++;
    if (list->count == PAGE_ROWS) {
        list->cut = true;
        return KVAULT_END;
    }
out:
    return rc;
}

static kvault_status on_pending(void *ctx, kvault_slice key, kvault_slice value, bool tombstone, kvault_error *reterr)
{
    kvault_kv_scan *scan = ctx;
    bool later = scan->with_values && value.size > PAGE_BYTES;

    if (!scan->with_values || later)
        value.size = 0;
    return add_row(&scan->pending, key, value, tombstone, later, reterr);
}

static kvault_status on_file(void *ctx, kvault_slice key, const struct storage_cell *cell, kvault_error *reterr)
{
    kvault_kv_scan *scan = ctx;
    kvault_slice value = { NULL, 0 };

    if (scan->with_values && !cell->blob_id) {
        kvault_status rc = kvault__kv_check_sum(scan->kv->space, key, cell, reterr);

        if (rc < 0)
            return rc;
        value = cell->value;
    }
    return add_row(&scan->file, key, value, false, scan->with_values && cell->blob_id, reterr);
}

static kvault_slice key_of(const struct list *list, size_t at)
{
    return (kvault_slice){ list->bytes.data + list->rows[at].key_at, list->rows[at].key_size };
}

/* Order of two keys in the scan's direction. */
static int ahead(const kvault_kv_scan *scan, kvault_slice a, kvault_slice b)
{
    int order = kvault__key_compare(a, b);

    return scan->reverse ? -order : order;
}

/* Rows behind the other list's cut belong to the next page. */
static void trim(const kvault_kv_scan *scan, struct list *list, const struct list *other)
{
    kvault_slice horizon;

    if (!other->cut || !other->count)
        return;
    horizon = key_of(other, other->count - 1);
    while (list->count && ahead(scan, key_of(list, list->count - 1), horizon) > 0) {
        list->count--;
        list->cut = true;
    }
}

/* What is left of the range begins behind the last key of this page. */
static kvault_status advance(kvault_kv_scan *scan, kvault_error *reterr)
{
    struct list *p = &scan->pending, *f = &scan->file;
    kvault_buf *bound = scan->reverse ? &scan->stop : &scan->start;
    kvault_slice last = { NULL, 0 };

    scan->done = !p->cut && !f->cut;
    if (!p->count && !f->count) {
        scan->done = true;
        return KVAULT_OK;
    }
    if (p->count)
        last = key_of(p, p->count - 1);
    if (f->count && (!p->count || ahead(scan, key_of(f, f->count - 1), last) > 0))
        last = key_of(f, f->count - 1);
    if (scan->reverse)
        scan->has_stop = true;
    else
        scan->has_start = scan->start_excluded = true;
    bound->size = 0;
    return kvault__buf_append(bound, last.data, last.size, reterr);
}

static kvault_status fill(kvault_kv_scan *scan, kvault_error *reterr)
{
    kvault_slice start = { scan->start.data, scan->start.size }, stop = { scan->stop.data, scan->stop.size };
    struct storage_range range = { .space = scan->kv->space,
                                   .start = scan->has_start ? &start : NULL,
                                   .stop = scan->has_stop ? &stop : NULL,
                                   .start_excluded = scan->start_excluded,
                                   .reverse = scan->reverse,
                                   .with_values = scan->with_values,
                                   .limit = PAGE_ROWS };
    bool alone;
    struct reading read;
    kvault_status rc;

    scan->pending.count = scan->pending.next = scan->pending.bytes.size = 0;
    scan->file.count = scan->file.next = scan->file.bytes.size = 0;
    scan->pending.cut = scan->file.cut = false;
    TRY(kvault__pending_scan(scan->kv->vault, &range, on_pending, scan, reterr));
    alone = !scan->pending.count; /* nothing takes away from what the file has */
    if (alone && scan->left < range.limit)
        range.limit = (uint32_t)scan->left;
    TRY(kvault__read_begin(scan->kv->vault, false, &read, reterr));
    rc = read.backend->scan(read.conn, &range, &read.wait, on_file, scan, reterr);
    kvault__read_end(&read);
    if (rc < 0)
        goto out;
    scan->file.cut = scan->file.cut || scan->file.count == range.limit;
    trim(scan, &scan->pending, &scan->file);
    trim(scan, &scan->file, &scan->pending);
    TRY(advance(scan, reterr));
out:
    return rc;
}

/* ---- taking rows ---- */

/* The next row of the page, from the list that it is in; the pending one wins. */
static const struct row *take(kvault_kv_scan *scan, struct list **ret_list)
{
    struct list *p = &scan->pending, *f = &scan->file;

    for (;;) {
        bool has_p = p->next < p->count, has_f = f->next < f->count;
        int order = has_p && has_f ? ahead(scan, key_of(p, p->next), key_of(f, f->next)) : has_p ? -1 : 1;

        if (!has_p && !has_f)
            return NULL;
        if (order > 0) {
            *ret_list = f;
            return &f->rows[f->next++];
        }
        if (order == 0)
            f->next++;
        if (!p->rows[p->next++].tombstone) {
            *ret_list = p;
            return &p->rows[p->next - 1];
        }
    }
}

static kvault_status load_value(kvault_kv_scan *scan, kvault_slice key, kvault_error *reterr)
{
    uint64_t size = 0;
    kvault_status rc;

    scan->value.size = 0;
    TRY(kvault_kv_size(scan->kv, key, &size, reterr));
    while (rc == KVAULT_OK && size > scan->value.size) {
        TRY(kvault__buf_reserve(&scan->value, (size_t)size - scan->value.size, reterr));
        scan->value.size = (size_t)size;
        rc = kvault_kv_get(scan->kv, key, scan->value.data, scan->value.size, &size, reterr);
    }
    if (rc == KVAULT_OK)
        scan->value.size = (size_t)size;
out:
    return rc;
}

kvault_status kvault_kv_scan_next(kvault_kv_scan *scan, kvault_slice *ret_key, kvault_slice *ret_value,
                                  kvault_error *reterr)
{
    const struct row *row;
    struct list *list;
    kvault_status rc;

    if (!scan->left)
        return KVAULT_END;
    for (;;) {
        kvault_slice key, value;

        row = take(scan, &list);
        if (!row) {
            if (scan->done)
                return KVAULT_END;
            TRY(fill(scan, reterr));
            continue;
        }
        key = (kvault_slice){ list->bytes.data + row->key_at, row->key_size };
        value = (kvault_slice){ list->bytes.data + row->value_at, row->value_size };
        if (row->later) {
            TRY(load_value(scan, key, reterr));
            if (rc == KVAULT_NOT_FOUND)
                continue;
            value = (kvault_slice){ scan->value.data, scan->value.size };
        }
        *ret_key = key;
        if (ret_value)
            *ret_value = value;
        scan->left--;
        return KVAULT_OK;
    }
out:
    return rc;
}

kvault_status kvault_kv_scan_left(kvault_kv_scan *scan, uint64_t *ret_left, kvault_error *reterr)
{
    const struct list *p = &scan->pending, *f = &scan->file;
    size_t at_p, at_f;
    uint64_t left = 0;
    kvault_status rc;

    if (scan->left && !scan->done && p->next == p->count && f->next == f->count)
        TRY(fill(scan, reterr));
    if (scan->left && !scan->done)
        return KVAULT_END;
    for (at_p = p->next, at_f = f->next; at_p < p->count || at_f < f->count;) {
        int order = at_p == p->count ? 1 : at_f == f->count ? -1 : ahead(scan, key_of(p, at_p), key_of(f, at_f));

        left += order > 0 || !p->rows[at_p].tombstone;
        at_f += order >= 0;
        at_p += order <= 0;
    }
    *ret_left = left < scan->left ? left : scan->left;
    return KVAULT_OK;
out:
    return rc;
}

kvault_status kvault_kv_scan_count(kvault_kv_scan *scan, uint64_t *ret_count, kvault_error *reterr)
{
    kvault_slice key;
    uint64_t count = 0;
    kvault_status rc;

    while ((rc = kvault_kv_scan_next(scan, &key, NULL, reterr)) == KVAULT_OK)
        count++;
    *ret_count = count;
    return rc < 0 ? rc : KVAULT_OK;
}

bool kvault_kv_scan_is_ready(const kvault_kv_scan *scan)
{
    const struct list *f = &scan->file;

    if (!scan->left)
        return true;
    if (scan->pending.next < scan->pending.count)
        return false; /* it may be a tombstone with nothing behind it */
    return f->next < f->count ? !f->rows[f->next].later : scan->done;
}
