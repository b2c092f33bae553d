/* fuzz_csbtree.c - bytes are operations: a CSBTree stays what an array of 256 flags says, also when comparisons fail.
 *
 * The first byte is the kind of keys, the second the order; then each operation is a byte and the number of a key. */
#include "map_keys.h"

static void insert(kvault_csbtree *tree, struct model *model, uint8_t number, uintptr_t value)
{
    void *old = NULL;
    kvault_status rc = kvault_csbtree_insert(tree, key_of(model->kind, number), as_value(value), &old, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || rc == (model->present[number] ? KVAULT_END : KVAULT_OK));
    if (rc == KVAULT_END)
        HOLDS((uintptr_t)old == model->value[number]);
    if (rc == KVAULT_OK) {
        keys_held += is_object(model->kind);
        values_held++;
    }
    if (rc >= 0)
        model_set(model, number, value);
}

static void add(kvault_csbtree *tree, struct model *model, uint8_t number, uintptr_t value)
{
    void *there = NULL;
    kvault_status rc = kvault_csbtree_add(tree, key_of(model->kind, number), as_value(value), &there, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || rc == (model->present[number] ? KVAULT_END : KVAULT_OK));
    if (rc == KVAULT_END)
        HOLDS((uintptr_t)there == model->value[number]);
    if (rc == KVAULT_OK) {
        keys_held += is_object(model->kind);
        values_held++;
        model_set(model, number, value);
    }
}

static void cut(kvault_csbtree *tree, struct model *model, uint8_t number)
{
    kvault_status rc = kvault_csbtree_remove(tree, key_of(model->kind, number), NULL, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || rc == (model->present[number] ? KVAULT_OK : KVAULT_NOT_FOUND));
    if (rc == KVAULT_OK)
        model_remove(model, number);
}

static void look(kvault_csbtree *tree, const struct model *model, uint8_t number)
{
    int low = model_floor(model, number), high = model_ceiling(model, number);
    kvault_key given = key_of(model->kind, number), key = { 0 };
    void *value = NULL;
    kvault_status rc = kvault_csbtree_get_many(tree, &given, 1, NULL, &value, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || (rc == KVAULT_OK && (uintptr_t)value == (low == number ? model->value[low] : 0)));
    rc = kvault_csbtree_floor(tree, given, &key, &value, NULL);
    HOLDS(rc == KVAULT_E_COMPARE || rc == (low >= 0 ? KVAULT_OK : KVAULT_NOT_FOUND));
    HOLDS(rc != KVAULT_OK || (key_is(model->kind, key, (uint8_t)low) && (uintptr_t)value == model->value[low]));
    rc = kvault_csbtree_ceiling(tree, given, &key, &value, NULL);
    HOLDS(rc == KVAULT_E_COMPARE || rc == (high < KEYS ? KVAULT_OK : KVAULT_NOT_FOUND));
    HOLDS(rc != KVAULT_OK || (key_is(model->kind, key, (uint8_t)high) && (uintptr_t)value == model->value[high]));
}

/* Walk a range, from its low end or its high one. */
static void walk(kvault_csbtree *tree, const struct model *model, uint8_t from, uint8_t to, bool reverse)
{
    kvault_key start = key_of(model->kind, from), stop = key_of(model->kind, to), key;
    int at = reverse ? model_floor(model, to - 1) : model_ceiling(model, from);
    kvault_csbtree_iter iter;
    void *value;

    if (kvault_csbtree_iter_init(&iter, tree, &start, &stop, NULL) < 0)
        return; /* a comparison failed */
    while ((reverse ? kvault_csbtree_iter_prev : kvault_csbtree_iter_next)(&iter, &key, &value, NULL) == KVAULT_OK) {
        HOLDS(at >= from && at < to && key_is(model->kind, key, (uint8_t)at));
        HOLDS((uintptr_t)value == model->value[at]);
        at = reverse ? model_floor(model, at - 1) : model_ceiling(model, at + 1);
    }
    HOLDS(at < from || at >= to);
}

static void check(kvault_csbtree *tree, const struct model *model)
{
    kvault_error err = KVAULT_ERROR_INIT;
    long left = compares_left;

    compares_left = 0;
    HOLDS(kvault_csbtree_verify(tree, &err) == KVAULT_OK);
    HOLDS(kvault_csbtree_count(tree) == model->count);
    walk(tree, model, 0, 255, false);
    HOLDS((size_t)values_held == model->count);
    HOLDS((size_t)keys_held == (is_object(model->kind) ? model->count : 0));
    compares_left = left;
}

static void operate(kvault_csbtree *tree, struct model *model, struct script *script, uintptr_t value)
{
    uint8_t what = next_byte(script), number = next_byte(script);

    switch (what % 16) {
    case 0:
        kvault_csbtree_clear(tree);
        memset(model->present, 0, sizeof model->present);
        model->count = 0;
        break;
    case 1:
        compares_left = number % 16;
        break;
    case 2:
        walk(tree, model, number, next_byte(script), what >= 128);
        break;
    case 3:
        look(tree, model, number);
        break;
    case 4:
    case 5:
    case 6:
        add(tree, model, number, value);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        cut(tree, model, number);
        break;
    default:
        insert(tree, model, number, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, data + size };
    struct model model = { .kind = map_kinds[next_byte(&script) % MAP_KINDS] };
    kvault_csbtree *tree = NULL;

    make_texts();
    compares_left = keys_held = values_held = 0;
    HOLDS(kvault_csbtree_new(model.kind, 3 + next_byte(&script) % 8, &map_hooks, &tree, NULL) == KVAULT_OK);
    for (uintptr_t step = 1; script.at < script.end; step++) {
        operate(tree, &model, &script, step);
        if (step % 32 == 0)
            check(tree, &model);
    }
    check(tree, &model);
    kvault_csbtree_free(tree);
    HOLDS(keys_held == 0 && values_held == 0);
    return 0;
}
