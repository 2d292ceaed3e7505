/* Faults, verdicts, and words for people.
 *
 * A call that can fail returns int:
 *     0     done
 *     < 0   a fault, -Exxx: nobody on this floor can mend it. Hand it up unchanged.
 *     > 0   a verdict: one of the answers that the call's own header lists. The caller
 *           answers it here; a verdict never travels further. */
#ifndef GW_FAULT_H
#define GW_FAULT_H

#include "common/base.h"

#define GW_RAISE(fault) gw_fault_raise((fault), __FILE__, __LINE__, __func__)

/* The one macro that returns. A verdict that reaches it was not answered: it becomes a fault (-ENOTRECOVERABLE). */
#define GW_TRY(call)                                                                                         \
    do {                                                                                                     \
        int try_ = (call);                                                                                   \
        if (try_ != 0)                                                                                       \
            return gw_fault_pass(try_, __FILE__, __LINE__, __func__);                                        \
    } while (0)

/* Starts a new trace for `fault` (negative) in this thread, and returns it. */
int gw_fault_raise(int fault, const char *file, int line, const char *function);

/* Adds a frame to this thread's trace, and returns the fault. */
int gw_fault_pass(int fault, const char *file, int line, const char *function);

/* This thread's last trace, one line: "Cannot allocate memory at outbox.c:31 outbox_open < client.c:80 …".
 * Borrowed until the next raise in this thread. */
const char *gw_fault_trace(void);

/* Words for a person: what was wrong, where, what would be right. One sentence, no full stop, no newline. */
enum { GW_REASON_MAX = 512 };
struct gw_reason {
    char text[GW_REASON_MAX];
};

/* Writes the words, cut to fit (at a UTF-8 boundary). `reason` may be NULL: nothing happens. */
void gw_reason_set(struct gw_reason *reason, const char *format, ...) GW_PRINTF(2, 3);

/* Raises `fault` with its words: `return GW_REFUSE(-EINVAL, reason, "port %s: not a number", text);` */
#define GW_REFUSE(fault, reason, ...) (gw_reason_set((reason), __VA_ARGS__), GW_RAISE(fault))

/* Everything that is wrong with one text, gathered instead of stopping at the first. */
struct gw_problem {
    char *file;    /* owned; NULL: not of a file, or it goes without saying */
    char *path;    /* owned; dotted path in the document, "" for the whole */
    int line;      /* from 1; 0 unknown */
    char *message; /* owned; one sentence */
    char *held_by; /* owned; see gw_problems_held_by(); NULL: nobody */
};

enum { GW_PROBLEMS_MAX = 200 };
struct gw_problems {
    struct gw_problem *items;
    size_t count;
    const char *
        file; /* what is added next is about this file; borrowed, set by whoever reads the file; NULL: none */
    size_t
        dropped; /* more than GW_PROBLEMS_MAX, or no memory for them: a text is bad if count + dropped > 0 */
};

void gw_problems_add(struct gw_problems *problems, const char *path, int line, const char *format, ...)
    GW_PRINTF(4, 5);
/* The problem that was added last is only that something else, of this name, holds what is asked for. */
void gw_problems_held_by(struct gw_problems *problems, const char *name);
bool gw_problems_any(const struct gw_problems *problems);
/* Adds all of `from` to `problems`, with their own files; `from` is left as it is. */
void gw_problems_append(struct gw_problems *problems, const struct gw_problems *from);
/* Frees the contents; the struct itself is the caller's and may be used again. */
void gw_problems_done(struct gw_problems *problems);
/* All of them as one text, "path (line n): message; …", with a file "file:n: path: message", cut to fit. */
void gw_problems_reason(const struct gw_problems *problems, struct gw_reason *reason);

#endif
