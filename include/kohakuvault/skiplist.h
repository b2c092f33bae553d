/* skiplist.h - an ordered map in memory for many threads at once: a lock-free skip list.
 *
 * Keys and hooks are those of csbtree.h, with the same limits on what they may do;
 * a comparator may call the list again, also to change it. Costs are expected, for n
 * entries. Any call with a reterr may fail with KVAULT_E_INVALID for NaN, with a
 * failure of the comparator, and, where it makes something, with KVAULT_E_NOMEM;
 * then the list is as it was.
 *
 * Pins. A thread enters the list, works, and leaves. Keys and values it was handed
 * in between stay alive until it leaves, also when others remove them meanwhile.
 * Nothing removed is released while a pin from that time stands, so leave soon: a
 * pin is for a call or a batch, not for the life of an iterator. A thread may hold
 * several pins; a pin is used by one thread at a time.
 *
 * Threads: all functions that take a pin may run at the same time, on any keys, and
 * none waits for another. Each takes effect at one instant between its call and its
 * return. Those that take a kvault_skiplist say what they need. Hooks that release run
 * in kvault_skiplist_leave(), kvault_skiplist_leave_alone(), kvault_skiplist_settle() and kvault_skiplist_free(),
 * on whichever thread calls these, some time after the removal. */
#ifndef KOHAKUVAULT_SKIPLIST_H
#define KOHAKUVAULT_SKIPLIST_H

#include "kohakuvault/csbtree.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvault_skiplist kvault_skiplist;

/* The fields are private. */
typedef struct kvault_skiplist_pin {
    kvault_skiplist *list;
    void *record;
} kvault_skiplist_pin;

/* Make an empty list. KVAULT_E_INVALID: a hook is missing; `hooks` may be NULL for
 * the first three kinds. End it with kvault_skiplist_free(). */
KVAULT_API kvault_status kvault_skiplist_new(kvault_key_kind kind, const kvault_map_hooks *hooks,
                                             kvault_skiplist **ret_list, kvault_error *reterr) KVAULT_MUST_USE;
/* Release every entry, then the list. O(n). No thread may be in the list, and no
 * iterator may be left. NULL is allowed. */
KVAULT_API void kvault_skiplist_free(kvault_skiplist *list);

/* Call in a forked child, while it has a single thread and that holds no pin: pins of
 * the threads that are not in the child are dropped. What such a thread was just
 * adding or removing is there or not; its memory may stay taken until the list is freed, or for good. */
KVAULT_API void kvault_skiplist_after_fork(kvault_skiplist *list);

/* O(1). KVAULT_E_NOMEM: too many pins at once for the memory there is. */
KVAULT_API kvault_status kvault_skiplist_enter(kvault_skiplist *list, kvault_skiplist_pin *ret_pin,
                                               kvault_error *reterr) KVAULT_MUST_USE;
/* O(1), but for what is released now. */
KVAULT_API void kvault_skiplist_leave(kvault_skiplist_pin *pin);
/* Leave as the only one inside, while nobody enters, both of which the caller must know: all that was
 * removed is released now. */
KVAULT_API void kvault_skiplist_leave_alone(kvault_skiplist_pin *pin);
/* Release what was removed and still waits, while nobody is inside or enters. False, in O(1): nothing waited. */
KVAULT_API bool kvault_skiplist_settle(kvault_skiplist *list);

/* The number of entries; exact when nobody changes the list meanwhile. Any thread, no pin. O(1). */
KVAULT_API size_t kvault_skiplist_count(const kvault_skiplist *list);

/* Add a key that is absent. O(log n). KVAULT_OK: key and value are the list's.
 * KVAULT_END: the key is there and keeps its value, which *ret_value (may be NULL) borrows. */
KVAULT_API kvault_status kvault_skiplist_insert(kvault_skiplist_pin *pin, kvault_key key, void *value,
                                                void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;
/* Set the value of a key. O(log n). KVAULT_OK: the key was absent, and it is the
 * list's now. KVAULT_END: it was there and stays the one it was; *ret_old (may be NULL) borrows its
 * old value, which the list releases later. The value is the list's unless the call fails. */
KVAULT_API kvault_status kvault_skiplist_set(kvault_skiplist_pin *pin, kvault_key key, void *value, void **ret_old,
                                             kvault_error *reterr) KVAULT_MUST_USE;
/* Remove a key. O(log n). *ret_value (may be NULL) borrows its value; the list
 * releases both later. KVAULT_NOT_FOUND: it was absent. */
KVAULT_API kvault_status kvault_skiplist_remove(kvault_skiplist_pin *pin, kvault_key key, void **ret_value,
                                                kvault_error *reterr) KVAULT_MUST_USE;

/* Remove every key that is there during the whole call, one by one: others may see
 * the list partly cleared, and keys that are added meanwhile may stay. O(n log n). A comparator that
 * fails costs time only. */
KVAULT_API void kvault_skiplist_clear(kvault_skiplist_pin *pin);

/* Borrow the value of a key. O(log n). KVAULT_NOT_FOUND: it is absent. */
KVAULT_API kvault_status kvault_skiplist_get(kvault_skiplist_pin *pin, kvault_key key, void **ret_value,
                                             kvault_error *reterr) KVAULT_MUST_USE;
/* Borrow the values of `count` keys; `absent` stands for those that are not there.
 * Each key has its own instant. On failure ret_values is filled up to some key. */
KVAULT_API kvault_status kvault_skiplist_get_many(kvault_skiplist_pin *pin, const kvault_key *keys, size_t count,
                                                  void *absent, void **ret_values,
                                                  kvault_error *reterr) KVAULT_MUST_USE;

/* The first and the last entry, the last at or below a key, the first at or above
 * it; `first` in O(1), the others in O(log n). All borrow. KVAULT_NOT_FOUND: there is none. */
KVAULT_API kvault_status kvault_skiplist_first(kvault_skiplist_pin *pin, kvault_key *ret_key, void **ret_value,
                                               kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_skiplist_last(kvault_skiplist_pin *pin, kvault_key *ret_key, void **ret_value,
                                              kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_skiplist_floor(kvault_skiplist_pin *pin, kvault_key key, kvault_key *ret_key,
                                               void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;
KVAULT_API kvault_status kvault_skiplist_ceiling(kvault_skiplist_pin *pin, kvault_key key, kvault_key *ret_key,
                                                 void **ret_value, kvault_error *reterr) KVAULT_MUST_USE;
/* The first entry at or above what `order` knows (csbtree.h), and whether it sorts with it. O(log n) calls. */
KVAULT_API kvault_status kvault_skiplist_ceiling_by(kvault_skiplist_pin *pin, kvault_map_order order, void *context,
                                                    kvault_key *ret_key, void **ret_value, bool *ret_equal,
                                                    kvault_error *reterr) KVAULT_MUST_USE;

/* ---- iteration ----
 * An iterator remembers the last key it gave and seeks the one behind it, so it holds no
 * pin between calls and survives every change: a key that is there throughout
 * comes exactly once, in order. One thread at a time may use it. */
typedef struct kvault_skiplist_iter kvault_skiplist_iter;

/* Iterate from *start, included, to *stop, excluded, or from the last of them down
 * to the first; NULL is no bound. Bytes are copied; bounds that are objects must stay
 * alive as long as the iterator. End it with kvault_skiplist_iter_free(). */
KVAULT_API kvault_status kvault_skiplist_iter_new(kvault_skiplist *list, const kvault_key *start,
                                                  const kvault_key *stop, bool reverse,
                                                  kvault_skiplist_iter **ret_iter,
                                                  kvault_error *reterr) KVAULT_MUST_USE;
/* Take up to `capacity` entries; either array may be NULL. O(log n), and O(1) more for each
 * (O(log n) in reverse). *ret_count is below `capacity` only behind the last. When
 * keys are objects, the caller keeps the last one given alive until the next call, so it wants ret_keys. */
KVAULT_API kvault_status kvault_skiplist_iter_fill(kvault_skiplist_iter *iter, kvault_skiplist_pin *pin,
                                                   size_t capacity, kvault_key *ret_keys, void **ret_values,
                                                   size_t *ret_count, kvault_error *reterr) KVAULT_MUST_USE;
/* Go on behind this key, which need not be there, as if it had been given last. */
KVAULT_API kvault_status kvault_skiplist_iter_resume(kvault_skiplist_iter *iter, kvault_key last,
                                                     kvault_error *reterr) KVAULT_MUST_USE;
/* NULL is allowed. */
KVAULT_API void kvault_skiplist_iter_free(kvault_skiplist_iter *iter);

/* Show every entry in order until `visit` returns something else than 0, which is returned. Allocates
 * nothing, compares nothing. Nobody may change the list meanwhile. O(n). */
KVAULT_API int kvault_skiplist_each(const kvault_skiplist *list,
                                    int (*visit)(void *context, kvault_key key, void *value), void *context);

/* Check every invariant of the list. O(n). No thread may be in the list.
 * KVAULT_E_CORRUPT, with words, names the first that is broken. */
KVAULT_API kvault_status kvault_skiplist_verify(kvault_skiplist *list, kvault_error *reterr) KVAULT_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
