/* Faults: the trace of the last one in each thread, and words for people. */
#include "common/fault.h"

#include "common/bytes.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULT_TRACE_MAX = 1024 };

static _Thread_local struct {
    int fault;
    size_t size;
    char text[FAULT_TRACE_MAX];
} trace;

void gw_freep(void *pointer)
{
    void *owned;

    /* By memcpy: the caller's pointer may be of any type, and void ** may not alias it. */
    memcpy(&owned, pointer, sizeof(owned));
    free(owned);
    memset(pointer, 0, sizeof(owned));
}

static void GW_PRINTF(1, 2) trace_add(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(trace.text + trace.size, sizeof(trace.text) - trace.size, format, arguments);
    va_end(arguments);
    if (size > 0)
        trace.size = GW_MIN(trace.size + (size_t)size, sizeof(trace.text) - 1);
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static const char *fault_words(int fault)
{
    const char *words = strerrordesc_np(-fault);

    return words == NULL ? "unknown fault" : words;
}

int gw_fault_raise(int fault, const char *file, int line, const char *function)
{
    assert(fault < 0);
    trace.fault = fault;
    trace.size = 0;
    trace_add("%s at %s:%d %s", fault_words(fault), file_name(file), line, function);
    return fault;
}

int gw_fault_pass(int fault, const char *file, int line, const char *function)
{
    assert(fault != 0);
    if (fault > 0) {
        gw_fault_raise(-ENOTRECOVERABLE, file, line, function);
        trace_add(" (verdict %d was not answered)", fault);
        return -ENOTRECOVERABLE;
    }
    /* A callee that returned a fault without raising it left an older trace behind. */
    if (fault != trace.fault)
        return gw_fault_raise(fault, file, line, function);
    trace_add(" < %s:%d %s", file_name(file), line, function);
    return fault;
}

const char *gw_fault_trace(void)
{
    return trace.text;
}

static void GW_PRINTF(2, 0)
    reason_set_arguments(struct gw_reason *reason, const char *format, va_list arguments)
{
    /* Words may quote the reason they replace ("server x: %s"), so they are composed beside it. */
    char text[GW_REASON_MAX + 4];
    int size = vsnprintf(text, sizeof(text), format, arguments);

    if (size < 0)
        return;
    size_t kept = (size_t)size;
    if (kept >= GW_REASON_MAX)
        kept = gw_utf8_cut(gw_view(text, GW_REASON_MAX), GW_REASON_MAX - 1).size;
    memcpy(reason->text, text, kept);
    reason->text[kept] = '\0';
}

void gw_reason_set(struct gw_reason *reason, const char *format, ...)
{
    va_list arguments;

    if (reason == NULL)
        return;
    va_start(arguments, format);
    reason_set_arguments(reason, format, arguments);
    va_end(arguments);
}

/* Grows by doubling whenever the count is a power of two. */
static bool problems_grow(struct gw_problems *problems)
{
    size_t count = problems->count;

    if ((count & (count - 1)) != 0)
        return true;
    struct gw_problem *items = realloc(problems->items, sizeof(*items) * GW_MAX(count * 2, (size_t)1));
    if (items == NULL)
        return false;
    problems->items = items;
    return true;
}

void gw_problems_add(struct gw_problems *problems, const char *path, int line, const char *format, ...)
{
    GW_AUTO(gw_freep) char *message = NULL;
    GW_AUTO(gw_freep) char *copy = NULL;
    GW_AUTO(gw_freep) char *file = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0)
        message = NULL;
    va_end(arguments);
    copy = strdup(path == NULL ? "" : path);
    file = problems->file == NULL ? NULL : strdup(problems->file);
    if (problems->count >= GW_PROBLEMS_MAX || message == NULL || copy == NULL ||
        (file == NULL && problems->file != NULL) || !problems_grow(problems)) {
        problems->dropped++;
        return;
    }
    problems->items[problems->count++] = (struct gw_problem){
        .file = GW_TAKE(file), .path = GW_TAKE(copy), .line = line, .message = GW_TAKE(message)};
}

void gw_problems_held_by(struct gw_problems *problems, const char *name)
{
    struct gw_problem *problem = problems->count == 0 ? NULL : &problems->items[problems->count - 1];

    if (problem == NULL || problem->held_by != NULL || problems->dropped > 0)
        return;
    /* Without memory it is a problem like any other. */
    problem->held_by = strdup(name);
}

void gw_problems_append(struct gw_problems *problems, const struct gw_problems *from)
{
    const char *file = problems->file;

    for (size_t i = 0; i < from->count; i++) {
        problems->file = from->items[i].file;
        gw_problems_add(problems, from->items[i].path, from->items[i].line, "%s", from->items[i].message);
        if (from->items[i].held_by != NULL)
            gw_problems_held_by(problems, from->items[i].held_by);
    }
    problems->file = file;
    problems->dropped += from->dropped;
}

bool gw_problems_any(const struct gw_problems *problems)
{
    return problems->count + problems->dropped > 0;
}

void gw_problems_done(struct gw_problems *problems)
{
    if (problems == NULL)
        return;
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].file);
        free(problems->items[i].path);
        free(problems->items[i].message);
        free(problems->items[i].held_by);
    }
    free(problems->items);
    *problems = (struct gw_problems){0};
}

/* As compilers say it: editors jump there. */
static void problem_write_file(const struct gw_problem *problem, struct gw_bytes *out)
{
    gw_bytes_append_text(out, problem->file);
    if (problem->line > 0)
        gw_bytes_printf(out, ":%d", problem->line);
    if (problem->path[0] != '\0')
        gw_bytes_printf(out, ": %s", problem->path);
    gw_bytes_printf(out, ": %s", problem->message);
}

static void problem_write(const struct gw_problem *problem, struct gw_bytes *out)
{
    if (problem->file != NULL) {
        problem_write_file(problem, out);
        return;
    }
    gw_bytes_append_text(out, problem->path);
    if (problem->line > 0)
        gw_bytes_printf(out, problem->path[0] == '\0' ? "line %d" : " (line %d)", problem->line);
    if (out->size > 0 && (problem->path[0] != '\0' || problem->line > 0))
        gw_bytes_append_text(out, ": ");
    gw_bytes_append_text(out, problem->message);
}

void gw_problems_reason(const struct gw_problems *problems, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    for (size_t i = 0; i < problems->count && out.size < GW_REASON_MAX; i++) {
        if (i > 0)
            gw_bytes_append_text(&out, "; ");
        problem_write(&problems->items[i], &out);
    }
    if (problems->dropped > 0)
        gw_bytes_printf(&out, "%s%zu more", problems->count > 0 ? "; and " : "", problems->dropped);
    gw_reason_set(reason, "%s",
                  out.failed      ? "too many problems to tell"
                  : out.size == 0 ? ""
                                  : gw_bytes_text(&out));
}
