/* undo.c - work that a rollback may undo behind the back of whoever did it.
 *
 * A stream outlives the transaction in which it was opened or wrote, and keeps ids and counts of what it wrote. It
 * notes its work here at the innermost level of savepoints that is open. A level that is released hands the work to
 * the one below; one that is rolled back marks it undone. Only the thread of the transaction notes and ends levels;
 * any thread may ask and forget. */
#include "vault/engine_state.h"

#include "base/banned.h"

static void unlink_locked(struct engine *engine, const struct undoable *work)
{
    struct undoable **at = &engine->undoables;

    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
}

void kvault__undo_note(kvault *vault, struct undoable *work)
{
    struct engine *engine = vault->engine;

    if (!kvault__in_transaction(vault))
        return;
    kvault__mutex_acquire(&engine->pending_lock);
    if (!work->level) {
        work->next = engine->undoables;
        engine->undoables = work;
    }
    work->level = engine->txn.depth;
    kvault__mutex_release(&engine->pending_lock);
}

bool kvault__undo_is_done(struct engine *engine, const struct undoable *work)
{
    bool undone;

    kvault__mutex_acquire(&engine->pending_lock);
    undone = work->undone;
    kvault__mutex_release(&engine->pending_lock);
    return undone;
}

bool kvault__undo_forget(struct engine *engine, struct undoable *work)
{
    bool stays;

    kvault__mutex_acquire(&engine->pending_lock);
    stays = !work->level && !work->undone;
    if (work->level)
        unlink_locked(engine, work);
    work->level = 0;
    kvault__mutex_release(&engine->pending_lock);
    return stays;
}

void kvault__undo_level_ended(struct engine *engine, bool kept)
{
    int depth = engine->txn.depth;
    struct undoable *next;

    kvault__mutex_acquire(&engine->pending_lock);
    for (struct undoable *work = engine->undoables; work; work = next) {
        next = work->next;
        if (work->level <= depth)
            continue;
        work->undone = !kept;
        if (work->undone || !depth)
            unlink_locked(engine, work);
        work->level = work->undone ? 0 : depth;
    }
    kvault__mutex_release(&engine->pending_lock);
}
