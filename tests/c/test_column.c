/* test_column.c - columns from the outside: against a list in memory, with reopen, cache, transactions, damage. */
#include "kvtest.h"

#include <sqlite3.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

static char folder[] = "/dev/shm/kvtest-XXXXXX";
static kvault_error err;
static int file_number;
static uint32_t seed = 1;

static kvault_slice s(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

struct fixture {
    char path[128];
    kvault *vault;
};

static void reopen(struct fixture *f)
{
    CHECK_OK(kvault_open(f->path, NULL, &f->vault, &err), &err);
}

static void shut(struct fixture *f)
{
    CHECK_OK(kvault_close(f->vault, &err), &err);
    kvault_free(f->vault);
}

static struct fixture start(void)
{
    struct fixture f;

    (void)snprintf(f.path, sizeof f.path, "%s/%d.kv", folder, ++file_number);
    reopen(&f);
    return f;
}

static int problems;

static void on_problem(void *ctx, const char *where, const char *what)
{
    if (ctx)
        printf("# %s: %s\n", where, what);
    problems++;
}

static int verify(kvault *vault)
{
    problems = 0;
    CHECK_OK(kvault_verify(vault, on_problem, &problems, &err), &err);
    return problems;
}

/* ---- a list in memory: elements of up to MODEL_BYTES ---- */

struct model {
    kvault_buf *elements;
    size_t count, capacity;
    uint32_t size; /* 0: any */
};

static void model_splice(struct model *m, size_t start, size_t stop, const kvault_buf *fresh, size_t count)
{
    size_t after = m->count - stop;

    if (start == stop && !count)
        return;

    if (m->count + count > m->capacity) {
        m->capacity = (m->count + count) * 2;
        m->elements = realloc(m->elements, m->capacity * sizeof *m->elements);
    }
    for (size_t i = start; i < stop; i++)
        free(m->elements[i].data);
    memmove(m->elements + start + count, m->elements + stop, after * sizeof *m->elements);
    if (count)
        memcpy(m->elements + start, fresh, count * sizeof *fresh);
    m->count = start + count + after;
}

static void model_free(struct model *m)
{
    model_splice(m, 0, m->count, NULL, 0);
    free(m->elements);
}

/* Elements, drawn, in both shapes. The model takes the bufs. */
struct drawn {
    kvault_buf *bufs;
    uint8_t *data;
    uint64_t *offsets;
    kvault_elements elements;
};

static struct drawn draw_elements(const struct model *m, size_t count, uint32_t size_max)
{
    struct drawn d = { calloc(count + 1, sizeof *d.bufs), NULL, calloc(count + 1, sizeof *d.offsets), { 0 } };
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        d.bufs[i].size = m->size ? m->size : draw(size_max + 1);
        d.bufs[i].data = malloc(d.bufs[i].size + 1);
        for (size_t k = 0; k < d.bufs[i].size; k++)
            d.bufs[i].data[k] = (uint8_t)draw(256);
        total += d.bufs[i].size;
        d.offsets[i + 1] = total;
    }
    d.data = malloc(total + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(d.data + d.offsets[i], d.bufs[i].data, d.bufs[i].size);
    d.elements = (kvault_elements){ d.data, m->size ? NULL : d.offsets, count };
    return d;
}

static void drawn_free(struct drawn *d)
{
    free(d->bufs);
    free(d->data);
    free(d->offsets);
}

/* The column reads as the model is. */
static bool same(kvault_column *column, const struct model *m, size_t from, size_t to)
{
    kvault_range range = { (int64_t)from, (int64_t)to, 1 };
    kvault_result r = KVAULT_RESULT_INIT;
    bool equal;
    uint64_t at = 0;

    CHECK_OK(kvault_column_get_range(column, &range, &r, &err), &err);
    equal = r.count == to - from;
    for (size_t i = from; i < to && equal; i++) {
        const kvault_buf *want = &m->elements[i];

        equal = (m->size || ((uint64_t *)(void *)r.offsets.data)[i - from + 1] == at + want->size) &&
                at + want->size <= r.data.size &&
                (!want->size || memcmp(r.data.data + at, want->data, want->size) == 0);
        at += want->size;
        if (!equal)
            printf("# element %zu differs\n", i);
    }
    kvault_result_free(&r);
    return equal;
}

static bool length_is(kvault_column *column, uint64_t want)
{
    uint64_t length = UINT64_MAX;

    CHECK_OK(kvault_column_length(column, &length, &err), &err);
    if (length != want)
        printf("# length %llu, want %llu\n", (unsigned long long)length, (unsigned long long)want);
    return length == want;
}

/* ---- the catalogue ---- */

static void a_column_is_made_found_renamed_and_deleted(void)
{
    struct fixture f = start();
    kvault_column *a = NULL, *b = NULL;
    kvault_buf name = KVAULT_BUF_INIT;
    double x = 1.5;
    kvault_elements one = { &x, NULL, 1 };

    CHECK_STATUS(kvault_column_open(f.vault, s("a"), &a, &err), KVAULT_NOT_FOUND, &err);
    CHECK_OK(kvault_column_create(f.vault, s("a"), s("f64"), NULL, &a, &err), &err);
    CHECK_STATUS(kvault_column_create(f.vault, s("a"), s("f64"), NULL, &b, &err), KVAULT_END, &err);
    CHECK_OK(kvault_column_append(a, &one, &err), &err);
    CHECK_OK(kvault_column_rename(f.vault, s("a"), s("b"), &err), &err);
    CHECK_STATUS(kvault_column_exists(f.vault, s("a"), &err), KVAULT_NOT_FOUND, &err);
    CHECK_OK(kvault_column_name(a, &name, &err), &err);
    CHECK(name.size == 1 && name.data[0] == 'b');
    CHECK_OK(kvault_column_append(a, &one, &err), &err);
    CHECK(length_is(a, 2));
    CHECK_OK(kvault_column_drop(f.vault, s("b"), &err), &err);
    CHECK_STATUS(kvault_column_append(a, &one, &err), KVAULT_NOT_FOUND, &err);
    CHECK_OK(kvault_column_create(f.vault, s("b"), s("f64"), NULL, &b, &err), &err);
    CHECK(kvault_column_id(b) != kvault_column_id(a) && length_is(b, 0));
    CHECK_STATUS(kvault_column_append(a, &one, &err), KVAULT_NOT_FOUND, &err);
    CHECK(verify(f.vault) == 0);
    kvault_buf_free(&name);
    kvault_column_free(a);
    kvault_column_free(b);
    shut(&f);
}

static void what_a_column_cannot_be_is_refused_with_the_limit(void)
{
    struct fixture f = start();
    kvault_column_options options;
    kvault_column *c = NULL;
    char name[1025];

    memset(name, 'n', sizeof name);
    CHECK_STATUS(kvault_column_create(f.vault, s(""), s("f64"), NULL, &c, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_column_create(f.vault, (kvault_slice){ name, 256 }, s("f64"), NULL, &c, &err), KVAULT_E_INVALID,
                 &err);
    CHECK_MESSAGE(&err, "256 characters, limit 255");
    CHECK_OK(kvault_column_create(f.vault, (kvault_slice){ name, 255 }, s("f64"), NULL, &c, &err), &err);
    kvault_column_free(c);
    CHECK_STATUS(kvault_column_create(f.vault, s("a\xff"), s("f64"), NULL, &c, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_column_create(f.vault, s("a"), s("f65"), NULL, &c, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "Unknown dtype");
    kvault_column_options_init(&options);
    options.chunk_bytes_min = 5000;
    options.chunk_bytes_max = 4096;
    CHECK_STATUS(kvault_column_create(f.vault, s("a"), s("f64"), &options, &c, &err), KVAULT_E_INVALID, &err);
    shut(&f);
}

static kvault_status add_row(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length, kvault_error *reterr)
{
    char *text = ctx;

    (void)reterr;
    (void)snprintf(text + strlen(text), 400 - strlen(text), "%.*s %.*s %llu;", (int)name.size, (const char *)name.data,
                   (int)dtype.size, (const char *)dtype.data, (unsigned long long)length);
    return KVAULT_OK;
}

static void columns_are_listed_by_name_with_their_lengths(void)
{
    struct fixture f = start();
    kvault_column *a = NULL, *b = NULL;
    uint8_t x[300] = { 0 };
    uint64_t offsets[3] = { 0, 100, 300 };
    kvault_elements numbers = { x, NULL, 3 }, texts = { x, offsets, 2 };
    char text[400] = "";

    CHECK_OK(kvault_column_create(f.vault, s("zz"), s("i32"), NULL, &a, &err), &err);
    CHECK_OK(kvault_column_create(f.vault, s("aa"), s("str"), NULL, &b, &err), &err);
    CHECK_OK(kvault_column_append(a, &numbers, &err), &err);
    CHECK_OK(kvault_column_append(b, &texts, &err), &err);
    CHECK_OK(kvault_column_list(f.vault, add_row, text, &err), &err);
    CHECK(strcmp(text, "aa str 2;zz i32 3;") == 0 || (printf("# %s\n", text), false));
    kvault_column_free(a);
    kvault_column_free(b);
    shut(&f);
}

/* ---- against the model ---- */

struct play {
    struct fixture f;
    kvault_column *column;
    struct model m;
    uint32_t size_max, bulk; /* bytes of an element, elements of a large step */
    bool cached;
    int step;
};

static void open_column(struct play *p)
{
    CHECK_OK(kvault_column_open(p->f.vault, s("c"), &p->column, &err), &err);
}

static void step_append(struct play *p, size_t count)
{
    struct drawn d = draw_elements(&p->m, count, p->size_max);

    CHECK_OK(kvault_column_append(p->column, &d.elements, &err), &err);
    model_splice(&p->m, p->m.count, p->m.count, d.bufs, count);
    drawn_free(&d);
}

static void step_insert(struct play *p, size_t count)
{
    size_t at = draw((uint32_t)p->m.count + 1);
    struct drawn d = draw_elements(&p->m, count, p->size_max);

    CHECK_OK(kvault_column_insert(p->column, (int64_t)at, &d.elements, &err), &err);
    model_splice(&p->m, at, at, d.bufs, count);
    drawn_free(&d);
}

static void step_delete(struct play *p, uint32_t most)
{
    size_t at = draw((uint32_t)p->m.count + 1), rest = p->m.count - at, count = draw(most + 1);
    kvault_range range = { (int64_t)at, (int64_t)(at + (count < rest ? count : rest)), 1 };

    CHECK_OK(kvault_column_delete_range(p->column, &range, &err), &err);
    model_splice(&p->m, at, (size_t)range.stop, NULL, 0);
}

static void step_set(struct play *p, uint32_t most)
{
    size_t at = draw((uint32_t)p->m.count + 1), rest = p->m.count - at, count = draw(most + 1);
    struct drawn d;
    kvault_range range;

    count = count < rest ? count : rest;
    range = (kvault_range){ (int64_t)at, (int64_t)(at + count), 1 };
    d = draw_elements(&p->m, count, p->size_max);
    CHECK_OK(kvault_column_set_range(p->column, &range, &d.elements, &err), &err);
    model_splice(&p->m, at, at + count, d.bufs, count);
    drawn_free(&d);
}

/* With a step, forward or backward: set or delete. */
static void step_stepping(struct play *p, bool set)
{
    int64_t step = (int64_t)draw(100) + 2, start = draw((uint32_t)p->m.count + 1);
    uint64_t count = start < (int64_t)p->m.count ? (p->m.count - (uint64_t)start - 1) / (uint64_t)step + 1 : 0;
    bool backward = draw(2);
    kvault_range range = { start, INT64_MAX, step };

    if (backward && count)
        range = (kvault_range){ start + (int64_t)(count - 1) * step, start - 1 - (start == 0 ? (int64_t)p->m.count : 0),
                                -step };
    if (set) {
        struct drawn d = draw_elements(&p->m, count, p->size_max);

        CHECK_OK(kvault_column_set_range(p->column, &range, &d.elements, &err), &err);
        for (uint64_t i = 0; i < count; i++) {
            size_t at = (size_t)(start + (int64_t)(backward ? count - 1 - i : i) * step);

            model_splice(&p->m, at, at + 1, &d.bufs[i], 1);
        }
        drawn_free(&d);
        return;
    }
    CHECK_OK(kvault_column_delete_range(p->column, &range, &err), &err);
    for (uint64_t i = count; i-- > 0;)
        model_splice(&p->m, (size_t)(start + (int64_t)i * step), (size_t)(start + (int64_t)i * step) + 1, NULL, 0);
}

static void step_pop(struct play *p)
{
    int64_t index = draw(2) ? -1 : (int64_t)draw((uint32_t)p->m.count + 1) - (int64_t)p->m.count;
    size_t at = (size_t)(index < 0 ? index + (int64_t)p->m.count : index);
    kvault_buf data = KVAULT_BUF_INIT;

    if (at >= p->m.count) {
        CHECK_STATUS(kvault_column_pop(p->column, index, &data, &err), KVAULT_E_INDEX, &err);
        return;
    }
    CHECK_OK(kvault_column_pop(p->column, index, &data, &err), &err);
    CHECK(data.size == p->m.elements[at].size &&
          (!data.size || memcmp(data.data, p->m.elements[at].data, data.size) == 0));
    kvault_buf_free(&data);
    model_splice(&p->m, at, at + 1, NULL, 0);
}

static void step_reopen(struct play *p)
{
    kvault_column_free(p->column);
    shut(&p->f);
    reopen(&p->f);
    open_column(p);
    p->cached = false;
}

static void step_cache(struct play *p)
{
    kvault_cache_setting setting = { !p->cached, true, 1 << 20, 1 << 18, 0 };

    if (p->cached)
        CHECK_OK(kvault_flush(p->f.vault, NULL, &err), &err);
    CHECK_OK(kvault_cache_set(p->f.vault, &setting, NULL, &err), &err);
    p->cached = !p->cached;
}

static void step_compact(struct play *p)
{
    uint64_t bytes;
    kvault_column_info info;

    CHECK_OK(kvault_column_compact(p->column, &bytes, &err), &err);
    CHECK_OK(kvault_column_info_get(p->column, &info, &err), &err);
    CHECK(info.slack_bytes == 0);
}

/* Single elements and short ranges, again and again in one place: from the file, then from memory. */
static void step_read(struct play *p)
{
    size_t around = draw((uint32_t)p->m.count + 1);

    for (int i = 0; i < 12 && p->m.count && kvtest_ok; i++) {
        size_t at = (around + draw(20)) % p->m.count, rest = p->m.count - at, count = draw(200);
        const kvault_buf *want = &p->m.elements[at];
        int64_t indices[3] = { (int64_t)at, -1, 0 };
        kvault_result r = KVAULT_RESULT_INIT;

        CHECK(length_is(p->column, p->m.count) && same(p->column, &p->m, at, at + (count < rest ? count : rest)));
        CHECK_OK(kvault_column_get_one(p->column, (int64_t)at, &r, &err), &err);
        CHECK(r.data.size == want->size && (!want->size || memcmp(r.data.data, want->data, want->size) == 0));
        CHECK_OK(kvault_column_take(p->column, indices, 3, &r, &err), &err);
        CHECK(r.count == 3 && (!want->size || memcmp(r.data.data, want->data, want->size) == 0));
        kvault_result_free(&r);
    }
}

static void check_all(struct play *p)
{
    kvault_column_info info;
    uint64_t bytes = 0;

    CHECK(length_is(p->column, p->m.count) && same(p->column, &p->m, 0, p->m.count));
    for (size_t i = 0; i < p->m.count; i++)
        bytes += p->m.elements[i].size;
    CHECK_OK(kvault_column_info_get(p->column, &info, &err), &err);
    CHECK(info.bytes == bytes ||
          (printf("# %llu bytes, want %llu\n", (unsigned long long)info.bytes, (unsigned long long)bytes), false));
    CHECK(verify(p->f.vault) == 0);
}

static void play_one(struct play *p)
{
    uint32_t what = draw(100);
    bool shrinks = p->step++ / 100 % 2; /* now it grows, now it shrinks */

    if (shrinks && what >= 45 && what < 90)
        step_delete(p, 4);
    else if (p->m.count > 10 * p->bulk || what < 3)
        step_delete(p, 10 * p->bulk);
    else if (what < 25)
        step_append(p, 1);
    else if (what < 30)
        step_append(p, draw(p->bulk));
    else if (what < 45)
        step_insert(p, 1);
    else if (what < 48)
        step_insert(p, draw(p->bulk));
    else if (what < 60)
        step_set(p, 1);
    else if (what < 63)
        step_set(p, p->bulk / 4);
    else if (what < 66)
        step_stepping(p, true);
    else if (what < 69)
        step_stepping(p, false);
    else if (what < 80)
        step_pop(p);
    else if (what < 90)
        step_delete(p, 3);
    else if (what < 92)
        step_reopen(p);
    else if (what < 95)
        step_cache(p);
    else if (what < 96)
        step_compact(p);
    else if (what < 99)
        step_read(p);
    else
        check_all(p);
}

static void play(const char *dtype, uint32_t size, uint32_t size_max, uint32_t chunk_max, uint32_t bulk, int steps)
{
    struct play p = { .f = start(), .m = { .size = size }, .size_max = size_max, .bulk = bulk };
    kvault_column_options options;

    kvault_column_options_init(&options);
    options.chunk_bytes_max = chunk_max;
    CHECK_OK(kvault_column_create(p.f.vault, s("c"), s(dtype), &options, &p.column, &err), &err);
    for (int i = 0; i < steps && kvtest_ok; i++)
        play_one(&p);
    check_all(&p);
    kvault_column_free(p.column);
    shut(&p.f);
    model_free(&p.m);
}

static void numbers_play_as_a_list(void)
{
    play("f64", 8, 0, 65536, 3000, 400);
    play("f64", 8, 0, 4096, 600, 500);
    play("u8", 1, 0, 4096, 3000, 400);
    play("bytes:300", 300, 0, 8192, 40, 1000);
    play("bytes:5000", 5000, 0, 4096, 20, 300);
}

static void elements_of_any_size_play_as_a_list(void)
{
    play("bytes", 0, 30, 65536, 3000, 400);
    play("str", 0, 300, 4096, 40, 1000);
    play("bytes", 0, 3000, 65536, 60, 500);
    play("bytes", 0, 9000, 4096, 10, 400);
}

/* ---- a heap without end ---- */

struct failing {
    const char *path;
    const char *dtype;
    uint32_t size;
};

/* Everything once, on a file that is there; the column may be there or not, and is emptied first. */
static kvault_status use_everything(void *argument)
{
    struct failing *f = argument;
    struct model m = { .size = f->size };
    kvault_range some = { 2, 9, 3 }, all = { 0, INT64_MAX, 1 };
    kvault_cache_setting setting = { true, true, 1 << 20, 1 << 18, 0 };
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_buf data = KVAULT_BUF_INIT;
    kvault_column *column = NULL;
    kvault_error local;
    kvault *vault = NULL;
    struct drawn few, many;
    uint64_t length = 0, slack;
    kvault_status rc;

    kvtest_alloc_pause(true);
    few = draw_elements(&m, 3, 500);
    many = draw_elements(&m, 400, 500);
    kvtest_alloc_pause(false);
    rc = kvault_open(f->path, NULL, &vault, &local);
    if (rc >= 0)
        rc = kvault_column_create(vault, s("c"), s(f->dtype), NULL, &column, &local);
    if (rc == KVAULT_END)
        rc = kvault_column_open(vault, s("c"), &column, &local);
    if (rc >= 0)
        rc = kvault_column_clear(column, &local);
    if (rc >= 0)
        rc = kvault_column_append(column, &many.elements, &local);
    if (rc >= 0)
        rc = kvault_column_append(column, &few.elements, &local);
    if (rc >= 0)
        rc = kvault_column_insert(column, 100, &many.elements, &local);
    if (rc >= 0)
        rc = kvault_column_delete_range(column, &some, &local);
    if (rc >= 0)
        rc = kvault_column_set_range(column, &some, &few.elements, &local);
    for (int i = 0; i < 4 && rc >= 0; i++)
        rc = kvault_column_get_one(column, i % 2, &result, &local);
    if (rc >= 0)
        rc = kvault_column_pop(column, 5, &data, &local);
    if (rc >= 0)
        rc = kvault_column_compact(column, &slack, &local);
    if (rc >= 0)
        rc = kvault_cache_set(vault, &setting, NULL, &local);
    if (rc >= 0)
        rc = kvault_column_append(column, &few.elements, &local);
    if (rc >= 0)
        rc = kvault_column_get_range(column, &all, &result, &local);
    if (rc >= 0)
        rc = kvault_column_length(column, &length, &local);
    if (rc >= 0)
        rc = kvault_verify(vault, on_problem, NULL, &local);
    kvault_column_free(column);
    if (vault && kvault_close(vault, &local) < 0) {
        rc = rc < 0 ? rc : local.status;
        kvtest_alloc_pause(true); /* what is pending would else be left to the flusher, which takes a while */
        CHECK_OK(kvault_close(vault, &local), &local);
        kvtest_alloc_pause(false);
    }
    kvault_free(vault);
    kvault_result_free(&result);
    kvault_buf_free(&data);
    kvtest_alloc_pause(true);
    for (size_t i = 0; i < 3; i++)
        free(few.bufs[i].data);
    for (size_t i = 0; i < 400; i++)
        free(many.bufs[i].data);
    drawn_free(&few);
    drawn_free(&many);
    kvtest_alloc_pause(false);
    return rc;
}

static void every_allocation_may_fail(void)
{
    static const struct {
        const char *dtype;
        uint32_t size;
    } kinds[] = { { "i64", 8 }, { "bytes", 0 } };

    for (size_t i = 0; i < 2; i++) {
        struct fixture f = start();
        struct failing failing = { f.path, kinds[i].dtype, kinds[i].size };

        shut(&f);
        problems = 0;
        kvtest_each_alloc_fails(use_everything, &failing);
        CHECK(problems == 0);
        reopen(&f);
        CHECK(verify(f.vault) == 0);
        shut(&f);
    }
}

/* ---- damage ---- */

static void flip(const char *path, const char *table, const char *value, int64_t id, int at)
{
    sqlite3 *db = NULL;
    char sql[300];

    (void)snprintf(
        sql, sizeof sql,
        "UPDATE %s SET %s = CAST(substr(%s, 1, %d) || CASE WHEN substr(%s, %d, 1) = x'00' THEN x'01' ELSE x'00' END "
        "|| substr(%s, %d) AS BLOB) WHERE id = %lld",
        table, value, value, at, value, at + 1, value, at + 2, (long long)id);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK && sqlite3_changes(db) == 1);
    (void)sqlite3_close(db);
}

/* A byte anywhere in what a column consists of is changed: no read gives a wrong element, most are told, verify
 * finds it, and the other column is as it was. */
static void no_damaged_byte_is_given_out(void)
{
    static const struct {
        const char *table, *value;
        int64_t row; /* below the column's id */
        int at;
    } places[] = { { "col_meta", "record", 0, 10 },   { "col_meta", "record", 0, 90 },
                   { "col_chunks", "data", 0, 3 },    { "col_chunks", "data", 0, 20 },
                   { "col_chunks", "data", 1, 0 },    { "col_chunks", "data", 1, 5000 },
                   { "col_chunks", "data", 2, 4090 }, { "col_chunks", "data", 3, 100 } };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct play p = { .f = start(), .m = { .size = 0 }, .size_max = 300, .bulk = 100 };
        kvault_range all = { 0, INT64_MAX, 1 };
        kvault_result r = KVAULT_RESULT_INIT;
        int64_t id;
        kvault_status rc;

        CHECK_OK(kvault_column_create(p.f.vault, s("c"), s("bytes"), NULL, &p.column, &err), &err);
        id = (int64_t)(kvault_column_id(p.column) & UINT32_MAX);
        step_append(&p, 1000);
        step_insert(&p, 300);
        step_append(&p, 5);
        kvault_column_free(p.column);
        p.column = NULL;
        shut(&p.f);
        flip(p.f.path, places[i].table, places[i].value,
             strcmp(places[i].table, "col_meta") == 0 ? id : id << 32 | places[i].row, places[i].at);
        reopen(&p.f);
        rc = kvault_column_open(p.f.vault, s("c"), &p.column, &err);
        CHECK(rc == KVAULT_OK || rc == KVAULT_E_CORRUPT);
        if (rc == KVAULT_OK) {
            CHECK_STATUS(kvault_column_get_range(p.column, &all, &r, &err), KVAULT_E_CORRUPT, &err);
            CHECK_MESSAGE(&err, "column \"c\" is damaged");
        }
        problems = 0;
        CHECK_OK(kvault_verify(p.f.vault, on_problem, NULL, &err), &err);
        CHECK(problems > 0 || (printf("# place %zu\n", i), false));
        kvault_result_free(&r);
        kvault_column_free(p.column);
        shut(&p.f);
        model_free(&p.m);
    }
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(a_column_is_made_found_renamed_and_deleted);
    RUN(what_a_column_cannot_be_is_refused_with_the_limit);
    RUN(columns_are_listed_by_name_with_their_lengths);
    RUN(numbers_play_as_a_list);
    RUN(elements_of_any_size_play_as_a_list);
    RUN(every_allocation_may_fail);
    RUN(no_damaged_byte_is_given_out);
    CHECK(kvtest_alloc_live() == 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
