/* edit.h - one change of a column: its transaction, its record, its list; and one look at it. */
#ifndef KVAULT_COLUMN_EDIT_H
#define KVAULT_COLUMN_EDIT_H

#include "column/fixed.h"
#include "column/varsize.h"

/* A column in hand: for a change inside a transaction, or for a read of one state of the file. Lives on the
 * stack of one operation; list and var point into it, so it is not copied. */
struct edit {
    struct kvault_column *column;
    struct writing write;
    struct column_io io;
    struct column_meta meta;
    struct chunk_list list;
    struct var var;
    uint64_t revision, stored; /* when it began */
    uint64_t mark;             /* of a look: see kvault__pending_mark() */
};

/* Begin a transaction and load the record. `what` names the work. KVAULT_NOT_FOUND: the column was deleted, and
 * the edit has ended. */
kvault_status kvault__edit_begin(struct kvault_column *column, const char *what, struct edit *edit,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* Load the record inside a transaction in hand. Ended with kvault__edit_leave(). */
kvault_status kvault__edit_enter(struct writing *write, uint64_t id, struct edit *edit,
                                 kvault_error *reterr) KVAULT_MUST_USE;
/* Store the record if it changed. */
kvault_status kvault__edit_store(struct edit *edit, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__edit_leave(struct edit *edit);
/* Store, commit, and let go; undo if rc < 0. */
kvault_status kvault__edit_end(struct edit *edit, kvault_status rc, kvault_error *reterr) KVAULT_MUST_USE;

/* Set up an edit over an io that only reads, whose record is loaded. */
kvault_status kvault__edit_look(struct edit *edit, kvault_error *reterr) KVAULT_MUST_USE;

/* ---- view.c: looks ---- */
/* Begin a read of one state; with kvault__view_close() at its end. KVAULT_NOT_FOUND: the column was deleted. */
kvault_status kvault__view_open(struct kvault_column *column, struct edit *view, kvault_error *reterr) KVAULT_MUST_USE;
void kvault__view_close(struct edit *view);
/* Told what is pending, as kvault__pending_tails() does. */
struct pending_tail;
kvault_status kvault__view_look(struct edit *view,
                                kvault_status (*on_tails)(void *ctx, const struct pending_tail *frozen,
                                                          const struct pending_tail *active, kvault_error *reterr),
                                void *ctx, kvault_error *reterr) KVAULT_MUST_USE;
/* Elements that are pending behind those in the file. KVAULT_END: a commit came between the mark and now, so what the
 * view sees and what is pending do not fit together: begin again. */
kvault_status kvault__view_pending(struct edit *view, uint64_t *ret_count, kvault_error *reterr) KVAULT_MUST_USE;
/* Put pending elements [start, start + count), counted from the first pending one, behind those in `result`. KVAULT_END
 * as above. */
kvault_status kvault__view_read_pending(struct edit *view, uint64_t start, uint64_t count, kvault_result *result,
                                        kvault_error *reterr) KVAULT_MUST_USE;

/* ---- both kinds of column; see fixed.h and varsize.h ---- */
uint64_t kvault__edit_length(const struct edit *edit);
kvault_status kvault__edit_read(struct edit *edit, uint64_t start, uint64_t count, kvault_result *result,
                                kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__edit_append(struct edit *edit, const kvault_elements *elements,
                                  kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__edit_write(struct edit *edit, uint64_t start, const kvault_elements *elements,
                                 kvault_error *reterr) KVAULT_MUST_USE;
kvault_status kvault__edit_splice(struct edit *edit, uint64_t start, uint64_t stop, const kvault_elements *elements,
                                  kvault_error *reterr) KVAULT_MUST_USE;

/* Elements [start, start + count) of others. */
kvault_elements kvault__elements_part(const struct column_meta *meta, const kvault_elements *elements, uint64_t start,
                                      uint64_t count);

/* ---- positions ---- */

/* A range resolved against a length: element i of it is start + i * step. */
struct span {
    uint64_t start, count;
    int64_t step;
};

kvault_status kvault__span_of(const kvault_range *range, uint64_t length, struct span *ret_span,
                              kvault_error *reterr) KVAULT_MUST_USE;
static inline uint64_t kvault__span_at(const struct span *span, uint64_t i)
{
    return (uint64_t)((int64_t)span->start + (int64_t)i * span->step);
}

/* An index inside the column. */
kvault_status kvault__index_of(int64_t index, uint64_t length, uint64_t *ret_index,
                               kvault_error *reterr) KVAULT_MUST_USE;

#endif
