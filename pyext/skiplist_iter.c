/* skiplist_iter.c - SkipListIter: the iterator over the pairs of a SkipList.
 *
 * It takes a page of pairs at a time, and gives them out as long as the list does not change; after a
 * change it drops the rest and goes on behind the last key it gave. Then pages are small, and
 * grow while nothing happens. It holds no pin between calls. */
#include "skiplist_type.h"

#include "map_protocol.h"

#define PAGE_PAIRS 64u

typedef struct skiplist_iter {
    PyObject_HEAD kvpy_skiplist *map; /* NULL once it has ended */
    PyObject *start, *end, *last;     /* the bounds, the last key given; each may be NULL */
    bool reverse, busy;
    kvault_skiplist_iter *walk; /* NULL before the first page */
    uint64_t swaps;             /* of the map when `walk` was made: then it had this core */
    PyObject *owners[2];        /* keys of the list that stand for bounds */
    PyObject *far_bound;        /* one that is foreign to the mode, so each key is compared with it; borrowed */
    uint64_t changes;           /* of the list when the page was taken */
    uint32_t page_size, at, count;
    PyObject *keys[PAGE_PAIRS], *values[PAGE_PAIRS]; /* the page; from `at` on they are ours */
} skiplist_iter;

static skiplist_iter *iter_cast(PyObject *op)
{
    return (skiplist_iter *)op;
}

PyObject *kvpy_skiplist_iter_new(kvpy_skiplist *map, PyObject *start, PyObject *end, bool reverse)
{
    PyTypeObject *type = (PyTypeObject *)map->state->SkipListIterType;
    skiplist_iter *self = (skiplist_iter *)type->tp_alloc(type, 0);

    if (!self)
        return NULL;
    self->map = (kvpy_skiplist *)Py_NewRef((PyObject *)map);
    self->start = Py_XNewRef(start);
    self->end = Py_XNewRef(end);
    self->reverse = reverse;
    self->page_size = PAGE_PAIRS;
    return (PyObject *)self;
}

static int iter_traverse(PyObject *op, visitproc visit, void *arg)
{
    skiplist_iter *self = iter_cast(op);

    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->map);
    Py_VISIT(self->start);
    Py_VISIT(self->end);
    Py_VISIT(self->last);
    Py_VISIT(self->owners[0]);
    Py_VISIT(self->owners[1]);
    for (uint32_t i = self->at; i < self->count; i++) {
        Py_VISIT(self->keys[i]);
        Py_VISIT(self->values[i]);
    }
    return 0;
}

static void drop_page(skiplist_iter *self)
{
    while (self->at < self->count) {
        uint32_t i = self->at++;

        Py_DECREF(self->keys[i]);
        Py_DECREF(self->values[i]);
    }
}

static void end_walk(skiplist_iter *self)
{
    kvault_skiplist_iter_free(self->walk);
    self->walk = NULL;
    self->far_bound = NULL;
    Py_CLEAR(self->owners[0]);
    Py_CLEAR(self->owners[1]);
}

static int iter_clear(PyObject *op)
{
    skiplist_iter *self = iter_cast(op);

    end_walk(self);
    drop_page(self);
    Py_CLEAR(self->start);
    Py_CLEAR(self->end);
    Py_CLEAR(self->last);
    Py_CLEAR(self->map);
    return 0;
}

static void iter_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    (void)iter_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- finding the place ---- */

struct place {
    bool has_low, has_high, resumes;
    kvault_key low, high, last;
};

/* A bound as a key of the list. NOT_FOUND: it is behind all keys. */
static kvault_status find_bound(skiplist_iter *self, kvpy_skip_call *call, PyObject *object, int which, kvault_key *ret)
{
    kvpy_fit fit = kvpy_skip_read(self->map, object, ret);
    kvault_status rc;
    bool equal;
    void *value;

    if (fit != KVPY_KEY_FOREIGN)
        return fit == KVPY_KEY_FITS ? KVAULT_OK : KVAULT_E_INVALID;
    rc = kvpy_skip_ceiling_of_foreign(call, object, ret, &value, &equal);
    if (rc == KVAULT_OK && kvpy_keys_are_foreign(self->map->mode))
        self->owners[which] = Py_NewRef((PyObject *)ret->object);
    /* Keys that come later may lie between the bound and the one that stands for it. */
    if (rc >= 0 && which == !self->reverse)
        self->far_bound = object;
    return rc;
}

/* Behind the last key given: it is resumed, or *ret_low is where to begin. KVAULT_END: nothing is left. */
static kvault_status find_last(skiplist_iter *self, kvpy_skip_call *call, struct place *place)
{
    bool equal = false;
    void *value;
    kvpy_fit fit = kvpy_skip_read(self->map, self->last, &place->last);
    kvault_status rc;

    place->resumes = fit == KVPY_KEY_FITS;
    if (fit != KVPY_KEY_FOREIGN)
        return place->resumes ? KVAULT_OK : KVAULT_E_INVALID;
    /* The list was emptied and filled with keys of another kind. */
    rc = kvpy_skip_ceiling_of_foreign(call, self->last, &place->last, &value, &equal);
    if (rc == KVAULT_NOT_FOUND)
        return self->reverse ? KVAULT_OK : KVAULT_END;
    place->resumes = rc == KVAULT_OK && (equal || self->reverse);
    if (rc == KVAULT_OK && !place->resumes) {
        place->low = place->last;
        place->has_low = true;
        if (kvpy_keys_are_foreign(self->map->mode))
            Py_XSETREF(self->owners[0], Py_NewRef((PyObject *)place->low.object));
    }
    return rc;
}

static kvault_status find_place(skiplist_iter *self, kvpy_skip_call *call, struct place *place)
{
    kvault_status rc = KVAULT_OK;

    if (self->start) {
        rc = find_bound(self, call, self->start, 0, &place->low);
        place->has_low = rc == KVAULT_OK;
        if (rc == KVAULT_NOT_FOUND && !self->reverse)
            return KVAULT_END;
    }
    if (rc >= 0 && self->end) {
        rc = find_bound(self, call, self->end, 1, &place->high);
        place->has_high = rc == KVAULT_OK;
    }
    return rc >= 0 && self->last ? find_last(self, call, place) : rc;
}

/* Begin to walk the core that the map has now. KVAULT_END: nothing is left. */
static kvault_status begin_walk(skiplist_iter *self, kvpy_skip_call *call)
{
    struct place place = { 0 };
    kvault_status rc;

    end_walk(self);
    rc = find_place(self, call, &place);
    if (rc < 0 || rc == KVAULT_END)
        return rc;
    rc = kvault_skiplist_iter_new(call->pin.list, place.has_low ? &place.low : NULL,
                                  place.has_high ? &place.high : NULL, self->reverse, &self->walk, NULL);
    if (rc >= 0 && place.resumes)
        rc = kvault_skiplist_iter_resume(self->walk, place.last, NULL);
    self->swaps = self->map->swaps;
    return rc;
}

/* After pairs were dropped, go back to the last one given. */
static kvault_status go_back(skiplist_iter *self, kvpy_skip_call *call)
{
    kvault_key last;

    if (self->last && kvpy_skip_read(self->map, self->last, &last) == KVPY_KEY_FITS)
        return kvault_skiplist_iter_resume(self->walk, last, NULL);
    return begin_walk(self, call);
}

/* ---- pages ---- */

/* Whether a key is behind a bound that the core does not know. -1: an exception. */
static int is_beyond(skiplist_iter *self, PyObject *key)
{
    int order;

    if (!self->far_bound)
        return 0;
    if (!kvpy_key_compare(key, self->far_bound, &order))
        return -1;
    return self->reverse ? order < 0 : order >= 0;
}

/* Turn what was found into objects. The call still borrows it. False with an exception. */
static bool keep_page(skiplist_iter *self, const kvault_key *keys, void *const *values, size_t count)
{
    self->at = self->count = 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *key = kvpy_key_object_of_copy(self->map->mode, keys[i]);
        int beyond = key ? is_beyond(self, key) : -1;

        if (beyond) {
            Py_XDECREF(key);
            return beyond > 0;
        }
        self->keys[i] = key;
        self->values[i] = Py_NewRef((PyObject *)values[i]);
        self->count++;
    }
    return true;
}

/* False with an exception; an empty page is the end. */
static bool take_page(skiplist_iter *self, bool dropped)
{
    kvpy_skiplist *map = self->map;
    kvault_key keys[PAGE_PAIRS];
    void *values[PAGE_PAIRS];
    kvpy_skip_call call;
    size_t count = 0;
    kvault_status rc = KVAULT_OK;
    bool good;

    if (!kvpy_skip_enter(map, &call))
        return false;
    self->changes = map->changes;
    if (!self->walk || self->swaps != map->swaps)
        rc = begin_walk(self, &call);
    else if (dropped)
        rc = go_back(self, &call);
    if (rc == KVAULT_OK)
        rc = kvault_skiplist_iter_fill(self->walk, &call.pin, self->page_size, keys, values, &count, NULL);
    if (rc < 0)
        kvpy_map_failed(map->state, rc);
    good = rc >= 0 && keep_page(self, keys, values, count);
    kvpy_skip_leave(&call);
    return good;
}

/* Make sure that there is a pair to give, unless this is the end. False with an exception. */
static bool prepare(skiplist_iter *self)
{
    bool changed = self->changes != self->map->changes || self->map->writers > 0;
    bool dropped = changed && self->at < self->count;

    if (dropped) {
        drop_page(self);
        self->page_size = 1;
    }
    if (self->at < self->count)
        return true;
    if (!take_page(self, dropped))
        return false;
    if (!dropped && self->page_size < PAGE_PAIRS)
        self->page_size *= 2;
    return true;
}

static PyObject *iter_next(PyObject *op)
{
    skiplist_iter *self = iter_cast(op);
    PyObject *key, *before;
    bool good;

    if (!self->map)
        return NULL;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this iterator is being used already");
        return NULL;
    }
    self->busy = true;
    good = prepare(self);
    self->busy = false;
    if (!good || self->at == self->count) {
        if (good)
            (void)iter_clear(op);
        return NULL;
    }
    key = self->keys[self->at];
    before = self->last;
    self->last = Py_NewRef(key);
    key = kvpy_pair(key, self->values[self->at++]);
    Py_XDECREF(before);
    return key;
}

PyDoc_STRVAR(iter_doc, "Iterator over the pairs of a SkipList.");

static PyType_Slot iter_slots[] = {
    { Py_tp_doc, (void *)iter_doc },
    { Py_tp_traverse, iter_traverse },
    { Py_tp_clear, iter_clear },
    { Py_tp_dealloc, iter_dealloc },
    { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, iter_next },
    { 0, NULL },
};

static PyType_Spec iter_spec = {
    .name = "kohakuvault._kvault.SkipListIter",
    .basicsize = sizeof(skiplist_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iter_slots,
};

int kvpy_skiplist_iter_exec(PyObject *module, kvpy_state *state)
{
    state->SkipListIterType = kvpy_add_type(module, &iter_spec);
    return state->SkipListIterType ? 0 : -1;
}
