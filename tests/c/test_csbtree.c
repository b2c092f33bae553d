/* test_csbtree.c - the tree against a sorted array, in every kind of key and several orders. */
#include "kvtest.h"

#include "kohakuvault/csbtree.h"

#define KEYS_MAX 6000

/* ---- a model: sorted keys by their number ---- */

struct model {
    kvault_key_kind kind;
    bool present[KEYS_MAX];
    uintptr_t value[KEYS_MAX];
    size_t count;
};

/* Texts whose order is that of their numbers, some of them prefixes of the next. */
struct text {
    size_t size;
    char data[24];
};

static struct text texts[KEYS_MAX];

static void make_texts(void)
{
    for (int i = 0; i < KEYS_MAX; i++) {
        int size = snprintf(texts[i].data, sizeof texts[i].data, "common/%c%08d", 'a' + i / 3000, i / 3);
        /* Three keys of a number: the text, the text and a NUL, the text and a 1. */
        if (i % 3 > 0)
            texts[i].data[size++] = (char)(i % 3 - 1);
        texts[i].size = (size_t)size;
    }
}

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

static long compares, compare_fails_at;
static kvault_csbtree *changed_by_compare;
static long released_keys, released_values;

static kvault_status compare(void *context, void *a, void *b, int *ret_order, kvault_error *reterr)
{
    const struct text *x = a, *y = b;

    (void)context;
    if (++compares == compare_fails_at) {
        if (changed_by_compare)
            return kvault_csbtree_remove(changed_by_compare, (kvault_key){ .object = &texts[1] }, NULL, reterr);
        if (reterr)
            snprintf(reterr->message, sizeof reterr->message, "refused");
        return KVAULT_E_COMPARE;
    }
    *ret_order = (x > y) - (x < y); /* the array is in order */
    return KVAULT_OK;
}

static kvault_slice text_bytes(void *context, void *key)
{
    struct text *text = key;
    (void)context;
    return (kvault_slice){ text->data, text->size };
}

static void count_key(void *context, void *key)
{
    (void)context;
    (void)key;
    released_keys++;
}

static void count_value(void *context, void *value)
{
    (void)context;
    (void)value;
    released_values++;
}

/* Five keys of a number tie. */
static int64_t text_rank(void *context, void *key)
{
    (void)context;
    return ((struct text *)key - texts) / 5;
}

static const kvault_map_hooks hooks = { NULL, compare, text_bytes, text_rank, count_key, count_value };

static kvault_key key_of(kvault_key_kind kind, int number)
{
    kvault_key key = { 0 };

    switch (kind) {
    case KVAULT_KEY_I64:
        key.i64 = ((int64_t)number - KEYS_MAX / 2) * 1000000007;
        break;
    case KVAULT_KEY_F64:
        key.f64 = (number - KEYS_MAX / 2) * 0.37;
        break;
    case KVAULT_KEY_BYTES:
        key.bytes = (kvault_slice){ texts[number].data, texts[number].size };
        break;
    case KVAULT_KEY_OBJECT_BYTES:
    case KVAULT_KEY_OBJECT:
    case KVAULT_KEY_RANKED:
        key.object = &texts[number];
        break;
    }
    return key;
}

static bool key_is(kvault_key_kind kind, kvault_key key, int number)
{
    kvault_key want = key_of(kind, number);

    switch (kind) {
    case KVAULT_KEY_I64:
        return key.i64 == want.i64;
    case KVAULT_KEY_F64:
        return !(key.f64 < want.f64) && !(key.f64 > want.f64);
    case KVAULT_KEY_BYTES:
        return key.bytes.size == want.bytes.size && memcmp(key.bytes.data, want.bytes.data, want.bytes.size) == 0;
    case KVAULT_KEY_OBJECT_BYTES:
    case KVAULT_KEY_OBJECT:
    case KVAULT_KEY_RANKED:
        return key.object == want.object;
    }
    return false;
}

static const kvault_key_kind kinds[] = { KVAULT_KEY_I64, KVAULT_KEY_F64, KVAULT_KEY_BYTES, KVAULT_KEY_OBJECT_BYTES,
                                         KVAULT_KEY_OBJECT, KVAULT_KEY_RANKED };
#define KINDS (sizeof kinds / sizeof kinds[0])

static kvault_csbtree *new_tree(kvault_key_kind kind, unsigned order)
{
    kvault_csbtree *tree = NULL;
    kvault_error err = KVAULT_ERROR_INIT;

    compares = compare_fails_at = 0;
    CHECK_OK(kvault_csbtree_new(kind, order, &hooks, &tree, &err), &err);
    return tree;
}

static void *as_value(uintptr_t number)
{
    return (void *)number; /* never looked through */
}

/* ---- steps on both ---- */

static void step_insert(kvault_csbtree *tree, struct model *model, int number)
{
    uintptr_t value = 1 + random_below(1000000);
    void *old = NULL;
    kvault_status rc = kvault_csbtree_insert(tree, key_of(model->kind, number), as_value(value), &old, NULL);

    CHECK(rc == (model->present[number] ? KVAULT_END : KVAULT_OK));
    CHECK(!model->present[number] || (uintptr_t)old == model->value[number]);
    model->count += !model->present[number];
    model->present[number] = true;
    model->value[number] = value;
}

static void step_add(kvault_csbtree *tree, struct model *model, int number)
{
    void *there = NULL;
    kvault_status rc = kvault_csbtree_add(tree, key_of(model->kind, number), as_value(7), &there, NULL);

    CHECK(rc == (model->present[number] ? KVAULT_END : KVAULT_OK));
    CHECK(!model->present[number] || (uintptr_t)there == model->value[number]);
    if (!model->present[number]) {
        model->count++;
        model->present[number] = true;
        model->value[number] = 7;
    }
}

static void step_remove(kvault_csbtree *tree, struct model *model, int number)
{
    void *old = NULL;
    kvault_status rc = kvault_csbtree_remove(tree, key_of(model->kind, number), &old, NULL);

    CHECK(rc == (model->present[number] ? KVAULT_OK : KVAULT_NOT_FOUND));
    CHECK(!model->present[number] || (uintptr_t)old == model->value[number]);
    model->count -= model->present[number];
    model->present[number] = false;
}

static void check_near(kvault_csbtree *tree, const struct model *model, int number)
{
    int below = number, above = number;
    kvault_key key = { 0 };
    void *value = NULL;
    kvault_status rc;

    while (below >= 0 && !model->present[below])
        below--;
    while (above < KEYS_MAX && !model->present[above])
        above++;
    rc = kvault_csbtree_floor(tree, key_of(model->kind, number), &key, &value, NULL);
    CHECK(rc == (below >= 0 ? KVAULT_OK : KVAULT_NOT_FOUND));
    CHECK(rc || (key_is(model->kind, key, below) && (uintptr_t)value == model->value[below]));
    rc = kvault_csbtree_ceiling(tree, key_of(model->kind, number), &key, &value, NULL);
    CHECK(rc == (above < KEYS_MAX ? KVAULT_OK : KVAULT_NOT_FOUND));
    CHECK(rc || (key_is(model->kind, key, above) && (uintptr_t)value == model->value[above]));
    rc = kvault_csbtree_get(tree, key_of(model->kind, number), &value, NULL);
    CHECK(rc == (model->present[number] ? KVAULT_OK : KVAULT_NOT_FOUND));
    CHECK(rc || (uintptr_t)value == model->value[number]);
}

/* The range from one number to another, forward by fill, backward by prev. */
static void check_range(kvault_csbtree *tree, const struct model *model, int from, int to)
{
    kvault_key start = key_of(model->kind, from), stop = key_of(model->kind, to), key;
    static kvault_key keys[KEYS_MAX];
    static void *values[KEYS_MAX];
    kvault_csbtree_iter iter;
    size_t want = 0, count = 0, filled = 0;
    void *value;

    for (int i = from; i < to; i++)
        want += model->present[i];
    CHECK_OK(kvault_csbtree_iter_init(&iter, tree, &start, &stop, NULL), NULL);
    CHECK_OK(kvault_csbtree_iter_count(&iter, &count, NULL), NULL);
    CHECK(count == want);
    CHECK_OK(kvault_csbtree_iter_fill(&iter, KEYS_MAX, keys, values, &filled, NULL), NULL);
    CHECK(filled == want);
    for (int i = from, at = 0; i < to; i++)
        if (model->present[i]) {
            CHECK(key_is(model->kind, keys[at], i) && (uintptr_t)values[at] == model->value[i]);
            at++;
        }
    CHECK_OK(kvault_csbtree_iter_init(&iter, tree, &start, &stop, NULL), NULL);
    for (int i = to - 1; i >= from; i--)
        if (model->present[i]) {
            CHECK_OK(kvault_csbtree_iter_prev(&iter, &key, &value, NULL), NULL);
            CHECK(key_is(model->kind, key, i));
        }
    CHECK_STATUS(kvault_csbtree_iter_prev(&iter, &key, &value, NULL), KVAULT_END, NULL);
    CHECK_STATUS(kvault_csbtree_iter_next(&iter, &key, &value, NULL), KVAULT_END, NULL);
}

static void check_all(kvault_csbtree *tree, const struct model *model)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_csbtree_iter iter;
    kvault_key key;
    void *value;

    CHECK_OK(kvault_csbtree_verify(tree, &err), &err);
    CHECK(kvault_csbtree_count(tree) == model->count);
    CHECK_OK(kvault_csbtree_iter_init(&iter, tree, NULL, NULL, NULL), NULL);
    for (int i = 0; i < KEYS_MAX; i++)
        if (model->present[i]) {
            CHECK_OK(kvault_csbtree_iter_next(&iter, &key, &value, NULL), NULL);
            CHECK(key_is(model->kind, key, i) && (uintptr_t)value == model->value[i]);
        }
    CHECK_STATUS(kvault_csbtree_iter_next(&iter, &key, &value, NULL), KVAULT_END, NULL);
}

static void play(kvault_key_kind kind, unsigned order)
{
    static struct model model;
    kvault_csbtree *tree = new_tree(kind, order);

    memset(&model, 0, sizeof model);
    model.kind = kind;
    for (int step = 0; step < 24000 && kvtest_ok; step++) {
        int number = (int)random_below(KEYS_MAX), other = (int)random_below(KEYS_MAX);
        /* Waves: the tree grows for a while, then shrinks, also from its ends. */
        bool growing = step / 4000 % 2 == 0;
        uint32_t dice = random_below(100);

        if (dice < (growing ? 60 : 25))
            step_insert(tree, &model, number);
        else if (dice < 65)
            step_add(tree, &model, growing ? number : number / 8);
        else if (dice < 97)
            step_remove(tree, &model, number);
        else
            check_near(tree, &model, number);
        if (step % 500 == 0)
            check_range(tree, &model, number, other);
        if (step % 997 == 0)
            check_all(tree, &model);
    }
    check_all(tree, &model);
    for (int i = 0; i < KEYS_MAX; i++)
        step_remove(tree, &model, i);
    check_all(tree, &model);
    kvault_csbtree_free(tree);
}

static void the_tree_agrees_with_a_sorted_array(void)
{
    static const unsigned orders[] = { 3, 4, 7, 63, 4096 };
    long live = kvtest_alloc_live();

    random_state = 1;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++)
            play(kinds[k], orders[o]);
    CHECK(kvtest_alloc_live() == live);
}

static void keys_in_order_and_in_reverse_make_sound_trees(void)
{
    static struct model model;

    for (size_t k = 0; k < KINDS; k++)
        for (int pass = 0; pass < 4; pass++) {
            kvault_csbtree *tree = new_tree(kinds[k], pass < 2 ? 63 : 3);
            memset(&model, 0, sizeof model);
            model.kind = kinds[k];
            for (int i = 0; i < KEYS_MAX; i++)
                step_insert(tree, &model, pass % 2 ? KEYS_MAX - 1 - i : i);
            check_all(tree, &model);
            for (int i = 0; i < KEYS_MAX - 3; i++) {
                step_remove(tree, &model, pass % 2 ? KEYS_MAX - 1 - i : i);
                if (i % 701 == 0)
                    check_all(tree, &model);
            }
            check_all(tree, &model);
            kvault_csbtree_free(tree);
        }
}

static void keys_that_arrive_in_order_fill_the_leaves(void)
{
    kvault_csbtree *tree = new_tree(KVAULT_KEY_I64, 63);

    for (int64_t i = 0; i < 100000; i++)
        CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .i64 = i }, NULL, NULL, NULL), NULL);
    CHECK(kvault_csbtree_size_bytes(tree) < 100000 * 19);
    kvault_csbtree_free(tree);
}

/* ---- loading ---- */

static void a_load_equals_insertion_at_every_size(void)
{
    static struct model model;
    static kvault_key keys[KEYS_MAX];
    static void *values[KEYS_MAX];
    static const int sizes[] = { 0, 1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 66, 128, 129, 4095, 4096, 4097, 4098, 6000 };
    kvault_error err = KVAULT_ERROR_INIT;

    for (size_t k = 0; k < KINDS; k++)
        for (size_t s = 0; s < 2 * sizeof sizes / sizeof sizes[0]; s++) {
            int count = sizes[s / 2];
            kvault_csbtree *tree = new_tree(kinds[k], s % 2 ? 63 : 3);

            memset(&model, 0, sizeof model);
            model.kind = kinds[k];
            model.count = (size_t)count;
            for (int i = 0; i < count; i++) {
                keys[i] = key_of(kinds[k], i);
                values[i] = as_value(model.value[i] = (uintptr_t)i + 1);
                model.present[i] = true;
            }
            CHECK_OK(kvault_csbtree_load_sorted(tree, keys, values, (size_t)count, &err), &err);
            check_all(tree, &model);
            for (int i = 0; i < 200; i++) {
                step_remove(tree, &model, (int)random_below(KEYS_MAX));
                step_insert(tree, &model, (int)random_below(KEYS_MAX));
            }
            check_all(tree, &model);
            kvault_csbtree_free(tree);
        }
}

static void a_load_refuses_keys_that_do_not_rise(void)
{
    void *values[3] = { NULL, NULL, NULL };
    kvault_error err = KVAULT_ERROR_INIT;

    for (size_t k = 0; k < KINDS; k++) {
        kvault_csbtree *tree = new_tree(kinds[k], 63);
        kvault_key keys[3] = { key_of(kinds[k], 1), key_of(kinds[k], 2), key_of(kinds[k], 2) };

        CHECK_STATUS(kvault_csbtree_load_sorted(tree, keys, values, 3, &err), KVAULT_E_INVALID, &err);
        CHECK(err.position == 2);
        CHECK_MESSAGE(&err, "key 2 is not above the key before it");
        CHECK_OK(kvault_csbtree_load_sorted(tree, keys, values, 2, &err), &err);
        CHECK_STATUS(kvault_csbtree_load_sorted(tree, keys, values, 1, &err), KVAULT_E_INVALID, &err);
        CHECK(kvault_csbtree_count(tree) == 2);
        kvault_csbtree_free(tree);
    }
}

/* ---- asking for many ---- */

static void get_many_equals_a_loop_of_gets(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        static kvault_key keys[1000];
        static void *values[1000];
        kvault_csbtree *tree = new_tree(kinds[k], 63);

        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 1000; i++)
                keys[i] = key_of(kinds[k], (int)random_below(KEYS_MAX));
            for (size_t count = 0; count < 1000; count += 37) {
                CHECK_OK(kvault_csbtree_get_many(tree, keys, count, as_value(99), values, NULL), NULL);
                for (size_t i = 0; i < count; i++) {
                    void *value = as_value(99);
                    CHECK(kvault_csbtree_get(tree, keys[i], &value, NULL) >= 0 && value == values[i]);
                }
            }
            for (int i = 0; i < KEYS_MAX; i += 2)
                CHECK(kvault_csbtree_insert(tree, key_of(kinds[k], i), as_value((uintptr_t)i + 100), NULL, NULL) >= 0);
        }
        kvault_csbtree_free(tree);
    }
}

/* ---- what is no key ---- */

static kvault_status order_of_half(void *context, kvault_key key, int *ret_order, kvault_error *reterr)
{
    double number = (double)key.i64, half = *(double *)context;

    (void)reterr;
    *ret_order = (number > half) - (number < half);
    return KVAULT_OK;
}

static void a_place_is_found_for_what_is_no_key(void)
{
    for (unsigned order = 3; order < 64; order += 60)
        for (int64_t count = 0; count < 300; count += 1 + count / 4) {
            kvault_csbtree *tree = new_tree(KVAULT_KEY_I64, order);

            for (int64_t i = 0; i < count; i++)
                CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .i64 = i }, as_value(1 + (uintptr_t)i), NULL, NULL), NULL);
            for (double half = -1; half < (double)count + 1; half += 0.5) {
                int64_t want = half < 0 ? 0 : (int64_t)(half + 0.5);
                kvault_key key = { .i64 = -7 };
                bool equal = false;
                void *value = NULL;
                kvault_status rc =
                    kvault_csbtree_ceiling_by(tree, order_of_half, &half, &key, &value, &equal, NULL);

                CHECK(rc == (want < count ? KVAULT_OK : KVAULT_NOT_FOUND));
                CHECK(rc || (key.i64 == want && (uintptr_t)value == 1 + (uintptr_t)want));
                CHECK(rc || equal == !((double)want > half));
            }
            kvault_csbtree_free(tree);
        }
}

/* ---- special keys ---- */

static void doubles_sort_as_numbers(void)
{
    static const double sorted[] = { -1e308 * 10, -1.5, -5e-324, 0.0, 5e-324, 2.25, 1e308, 1e308 * 10 };
    const size_t count = sizeof sorted / sizeof sorted[0];
    kvault_csbtree *tree = new_tree(KVAULT_KEY_F64, 63);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_csbtree_iter iter;
    kvault_key key;
    void *value = NULL;

    for (size_t i = count; i-- > 0;)
        CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .f64 = sorted[i] }, as_value(i), NULL, NULL), NULL);
    CHECK_OK(kvault_csbtree_get(tree, (kvault_key){ .f64 = -0.0 }, &value, NULL), NULL);
    CHECK((uintptr_t)value == 3);
    CHECK_STATUS(kvault_csbtree_insert(tree, (kvault_key){ .f64 = 0.0 / 0.0 * sorted[3] }, NULL, NULL, &err),
                 KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "NaN");
    CHECK_OK(kvault_csbtree_iter_init(&iter, tree, NULL, NULL, NULL), NULL);
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(kvault_csbtree_iter_next(&iter, &key, &value, NULL), NULL);
        CHECK((uintptr_t)value == i && !(key.f64 < sorted[i]) && !(key.f64 > sorted[i]));
    }
    kvault_csbtree_free(tree);
}

static void bytes_sort_as_memcmp_with_prefixes_first(void)
{
    static const kvault_slice sorted[] = {
        { "", 0 },          { "\0", 1 },        { "a", 1 },          { "a\0", 2 },          { "a\0\0\0\0\0\0\0", 8 },
        { "a\0\0\0\0\0\0\0\0", 9 }, { "a\0\0\0\0\0\0\0\1", 9 }, { "aa", 2 }, { "b", 1 }, { "\x7f", 1 },
        { "\x80", 1 },      { "\xff\xff\xff\xff\xff\xff\xff\xff", 8 }, { "\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9 },
    };
    const size_t count = sizeof sorted / sizeof sorted[0];
    kvault_error err = KVAULT_ERROR_INIT;

    /* Each start order, so that the common prefix shrinks in different ways. */
    for (size_t first = 0; first < count; first++) {
        kvault_csbtree *tree = new_tree(KVAULT_KEY_BYTES, 3);
        kvault_csbtree_iter iter;
        kvault_key key;
        void *value;

        for (size_t i = 0; i < count; i++) {
            size_t at = (first + i * 5) % count;
            CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .bytes = sorted[at] }, as_value(at), NULL, NULL), NULL);
            CHECK_OK(kvault_csbtree_verify(tree, &err), &err);
        }
        CHECK_OK(kvault_csbtree_iter_init(&iter, tree, NULL, NULL, NULL), NULL);
        for (size_t i = 0; i < count; i++) {
            CHECK_OK(kvault_csbtree_iter_next(&iter, &key, &value, NULL), NULL);
            CHECK((uintptr_t)value == i && key.bytes.size == sorted[i].size);
        }
        kvault_csbtree_free(tree);
    }
}

static void a_prefix_longer_than_the_tree_knows_is_no_trouble(void)
{
    kvault_csbtree *tree = new_tree(KVAULT_KEY_BYTES, 7);
    char text[300];
    kvault_error err = KVAULT_ERROR_INIT;
    void *value = NULL;

    memset(text, 'x', sizeof text);
    for (size_t size = 0; size < sizeof text; size++)
        CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .bytes = { text, (size * 7) % 300 } },
                                       as_value((size * 7) % 300), NULL, NULL), NULL);
    CHECK_OK(kvault_csbtree_verify(tree, &err), &err);
    for (size_t size = 0; size < sizeof text; size++) {
        CHECK_OK(kvault_csbtree_get(tree, (kvault_key){ .bytes = { text, size } }, &value, NULL), NULL);
        CHECK((uintptr_t)value == size);
    }
    kvault_csbtree_free(tree);
}

static void orders_and_hooks_are_checked(void)
{
    kvault_map_hooks no_rank = hooks;
    kvault_csbtree *tree = NULL;
    kvault_error err = KVAULT_ERROR_INIT;

    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_I64, 2, NULL, &tree, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "order is 2, must be 3 to 4096");
    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_I64, 4097, NULL, &tree, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_OBJECT, 63, NULL, &tree, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_OBJECT_BYTES, 63, NULL, &tree, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_RANKED, 63, NULL, &tree, &err), KVAULT_E_INVALID, &err);
    no_rank.rank = NULL;
    CHECK_STATUS(kvault_csbtree_new(KVAULT_KEY_RANKED, 63, &no_rank, &tree, &err), KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "need the hook rank");
    CHECK(tree == NULL);
    kvault_csbtree_free(NULL);
}

/* ---- ownership ---- */

static void what_is_removed_or_replaced_is_released_once(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        kvault_csbtree *tree = new_tree(kinds[k], 7);
        bool objects = kinds[k] >= KVAULT_KEY_OBJECT_BYTES;
        void *old;

        released_keys = released_values = 0;
        for (int i = 0; i < 100; i++)
            CHECK_OK(kvault_csbtree_insert(tree, key_of(kinds[k], i), NULL, NULL, NULL), NULL);
        CHECK_STATUS(kvault_csbtree_insert(tree, key_of(kinds[k], 5), NULL, NULL, NULL), KVAULT_END, NULL);
        CHECK_STATUS(kvault_csbtree_insert(tree, key_of(kinds[k], 5), NULL, &old, NULL), KVAULT_END, NULL);
        CHECK(released_keys == 0 && released_values == 1);
        CHECK_OK(kvault_csbtree_remove(tree, key_of(kinds[k], 5), NULL, NULL), NULL);
        CHECK_OK(kvault_csbtree_remove(tree, key_of(kinds[k], 6), &old, NULL), NULL);
        CHECK(released_keys == (objects ? 2 : 0) && released_values == 2);
        kvault_csbtree_clear(tree);
        CHECK(released_keys == (objects ? 100 : 0) && released_values == 100);
        CHECK(kvault_csbtree_count(tree) == 0);
        kvault_csbtree_free(tree);
        CHECK(released_values == 100);
    }
}

static void an_iterator_notices_a_change(void)
{
    kvault_csbtree *tree = new_tree(KVAULT_KEY_I64, 63);
    kvault_csbtree_iter iter;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_key key;
    void *value;
    size_t count;

    for (int64_t i = 0; i < 10; i++)
        CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .i64 = i }, NULL, NULL, NULL), NULL);
    CHECK_OK(kvault_csbtree_iter_init(&iter, tree, NULL, NULL, NULL), NULL);
    CHECK_STATUS(kvault_csbtree_insert(tree, (kvault_key){ .i64 = 3 }, NULL, NULL, NULL), KVAULT_END, NULL);
    CHECK_OK(kvault_csbtree_iter_next(&iter, &key, &value, NULL), NULL);
    CHECK_OK(kvault_csbtree_remove(tree, (kvault_key){ .i64 = 3 }, NULL, NULL), NULL);
    CHECK_STATUS(kvault_csbtree_iter_next(&iter, &key, &value, &err), KVAULT_E_REENTERED, &err);
    CHECK_STATUS(kvault_csbtree_iter_prev(&iter, &key, &value, &err), KVAULT_E_REENTERED, &err);
    CHECK_STATUS(kvault_csbtree_iter_count(&iter, &count, &err), KVAULT_E_REENTERED, &err);
    CHECK_STATUS(kvault_csbtree_iter_fill(&iter, 1, &key, &value, &count, &err), KVAULT_E_REENTERED, &err);
    kvault_csbtree_free(tree);
}

/* ---- comparators ---- */

static kvault_status order_of_text(void *context, kvault_key key, int *ret_order, kvault_error *reterr)
{
    return compare(NULL, key.object, context, ret_order, reterr);
}

/* Every operation, on a tree of the even texts from 0 to 198. */
static kvault_status operate(kvault_csbtree *tree, int which, kvault_error *err)
{
    kvault_key key = { .object = &texts[which % 2 ? 80 : 81] }, stop = { .object = &texts[150] }, other;
    kvault_csbtree_iter iter;
    bool equal;
    void *value;

    switch (which / 2) {
    case 0:
        return kvault_csbtree_get(tree, key, &value, err);
    case 1:
        return kvault_csbtree_insert(tree, key, NULL, &value, err);
    case 2:
        return kvault_csbtree_remove(tree, key, &value, err);
    case 3:
        return kvault_csbtree_floor(tree, key, &other, &value, err);
    case 4:
        return kvault_csbtree_ceiling(tree, key, &other, &value, err);
    case 5:
        return kvault_csbtree_add(tree, key, NULL, &value, err);
    case 6:
        return kvault_csbtree_get_many(tree, &key, 1, NULL, &value, err);
    case 7:
        return kvault_csbtree_ceiling_by(tree, order_of_text, key.object, &other, &value, &equal, err);
    default:
        return kvault_csbtree_iter_init(&iter, tree, &key, &stop, err);
    }
}

/* Let the 1st, 2nd, 3rd... comparison of every operation fail, or change the tree. */
static void provoke(kvault_key_kind kind, bool change, kvault_status want)
{
    kvault_error err = KVAULT_ERROR_INIT;

    for (int which = 0; which < 18; which++)
        for (long nth = 1;; nth++) {
            kvault_csbtree *tree = new_tree(kind, 7);
            kvault_status rc;
            bool reached;

            for (int i = 0; i < 200; i += 2)
                CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .object = &texts[i] }, NULL, NULL, NULL), NULL);
            CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .object = &texts[1] }, NULL, NULL, NULL), NULL);
            compares = 0;
            compare_fails_at = nth;
            changed_by_compare = change ? tree : NULL;
            rc = operate(tree, which, &err);
            reached = compares >= nth;
            compare_fails_at = 0;
            changed_by_compare = NULL;
            CHECK(!reached || rc == want);
            CHECK_OK(kvault_csbtree_verify(tree, &err), &err);
            if (reached)
                CHECK(kvault_csbtree_count(tree) == (change ? 100 : 101));
            kvault_csbtree_free(tree);
            if (!reached || !kvtest_ok)
                break;
        }
}

static void a_comparator_that_fails_leaves_the_tree_as_it_was(void)
{
    provoke(KVAULT_KEY_OBJECT, false, KVAULT_E_COMPARE);
    provoke(KVAULT_KEY_RANKED, false, KVAULT_E_COMPARE);
}

static void a_comparator_that_changes_the_tree_is_noticed(void)
{
    provoke(KVAULT_KEY_OBJECT, true, KVAULT_E_REENTERED);
    provoke(KVAULT_KEY_RANKED, true, KVAULT_E_REENTERED);
}

static void a_load_whose_comparator_fails_leaves_an_empty_tree(void)
{
    kvault_csbtree *tree = new_tree(KVAULT_KEY_OBJECT, 63);
    kvault_key keys[100];
    void *values[100] = { NULL };
    kvault_error err = KVAULT_ERROR_INIT;

    for (int i = 0; i < 100; i++)
        keys[i].object = &texts[i];
    compare_fails_at = 50;
    CHECK_STATUS(kvault_csbtree_load_sorted(tree, keys, values, 100, &err), KVAULT_E_COMPARE, &err);
    CHECK_MESSAGE(&err, "refused");
    CHECK(kvault_csbtree_count(tree) == 0);
    CHECK_OK(kvault_csbtree_verify(tree, &err), &err);
    CHECK_OK(kvault_csbtree_load_sorted(tree, keys, values, 100, &err), &err);
    kvault_csbtree_free(tree);
}

/* ---- the heap ---- */

static kvault_status insert_and_load(void *argument)
{
    kvault_key_kind kind = *(kvault_key_kind *)argument;
    kvault_csbtree *tree = NULL, *loaded = NULL;
    kvault_key keys[50];
    void *values[50] = { NULL };
    kvault_status rc;

    rc = kvault_csbtree_new(kind, 3, &hooks, &tree, NULL);
    for (int i = 0; rc >= 0 && i < 50; i++) {
        keys[i] = key_of(kind, i);
        rc = kvault_csbtree_insert(tree, key_of(kind, i * 17 % 50), NULL, NULL, NULL);
        CHECK(kvault_csbtree_count(tree) == (size_t)(rc < 0 ? i : i + 1));
        CHECK(kvault_csbtree_verify(tree, NULL) == KVAULT_OK);
    }
    if (rc >= 0)
        rc = kvault_csbtree_new(kind, 3, &hooks, &loaded, NULL);
    if (rc >= 0) {
        rc = kvault_csbtree_load_sorted(loaded, keys, values, 50, NULL);
        CHECK(kvault_csbtree_count(loaded) == (rc < 0 ? 0 : 50));
        CHECK(kvault_csbtree_verify(loaded, NULL) == KVAULT_OK);
    }
    kvault_csbtree_free(tree);
    kvault_csbtree_free(loaded);
    return rc < 0 ? rc : KVAULT_OK;
}

static void every_allocation_may_fail(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        kvault_key_kind kind = kinds[k];
        compare_fails_at = 0;
        kvtest_each_alloc_fails(insert_and_load, &kind);
    }
}

static void churn_does_not_grow_the_tree(void)
{
    kvault_csbtree *tree = new_tree(KVAULT_KEY_I64, 63);
    size_t size = 0;

    for (int64_t i = 0; i < 200000; i++) {
        CHECK_OK(kvault_csbtree_insert(tree, (kvault_key){ .i64 = i }, NULL, NULL, NULL), NULL);
        if (i >= 1000)
            CHECK_OK(kvault_csbtree_remove(tree, (kvault_key){ .i64 = i - 1000 }, NULL, NULL), NULL);
        if (i == 20000)
            size = kvault_csbtree_size_bytes(tree);
    }
    CHECK(kvault_csbtree_size_bytes(tree) == size);
    kvault_csbtree_free(tree);
}

int main(void)
{
    make_texts();
    RUN(the_tree_agrees_with_a_sorted_array);
    RUN(keys_in_order_and_in_reverse_make_sound_trees);
    RUN(keys_that_arrive_in_order_fill_the_leaves);
    RUN(a_load_equals_insertion_at_every_size);
    RUN(a_load_refuses_keys_that_do_not_rise);
    RUN(get_many_equals_a_loop_of_gets);
    RUN(a_place_is_found_for_what_is_no_key);
    RUN(doubles_sort_as_numbers);
    RUN(bytes_sort_as_memcmp_with_prefixes_first);
    RUN(a_prefix_longer_than_the_tree_knows_is_no_trouble);
    RUN(orders_and_hooks_are_checked);
    RUN(what_is_removed_or_replaced_is_released_once);
    RUN(an_iterator_notices_a_change);
    RUN(a_comparator_that_fails_leaves_the_tree_as_it_was);
    RUN(a_comparator_that_changes_the_tree_is_noticed);
    RUN(a_load_whose_comparator_fails_leaves_an_empty_tree);
    RUN(every_allocation_may_fail);
    RUN(churn_does_not_grow_the_tree);
    return kvtest_end();
}
