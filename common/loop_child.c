/* Programs on the loop: run for what they print.
 *
 *     started ──▶ output and errors at their end, and ended ──▶ ended()
 *        └─ deadline, too much output: the session is killed ──▶ ended() */
#include "common/loop_parts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

extern char **environ;

/* Each handle is memory of its own that libuv keeps until it is closed; `child` is NULL when that has gone before. The process
 * is kept until it has ended, or nobody would take its exit status. */
struct child_process {
    uv_process_t uv;
    struct gw_child *child;
};

struct child_pipe {
    uv_pipe_t uv;
    struct gw_child *child;
    bool errors;
    char room[16384];
};

enum { CHILD_OUTPUT, CHILD_ERRORS, CHILD_PIPES };

struct gw_child {
    struct gw_loop *loop;
    struct child_process *process;         /* NULL: it has ended */
    struct child_pipe *pipes[CHILD_PIPES]; /* NULL: at its end */
    struct gw_timer *deadline;
    pid_t group;
    size_t output_max;
    struct gw_bytes output, errors;
    struct gw_child_end end;
    void (*ended)(void *user, const struct gw_child_end *end);
    void *user;
};

/* ---- the end ---- */

static void child_tell(struct gw_child *child)
{
    gw_timer_stop(child->deadline);
    child->end.output = gw_bytes_view(&child->output);
    child->end.errors = gw_bytes_view(&child->errors);
    child->ended(child->user, &child->end);
}

static void child_kill(struct gw_child *child)
{
    if (child->group > 0)
        (void)kill(-child->group, SIGKILL);
}

static void pipe_close(struct child_pipe *pipe)
{
    if (pipe == NULL)
        return;
    if (pipe->child != NULL)
        pipe->child->pipes[pipe->errors ? CHILD_ERRORS : CHILD_OUTPUT] = NULL;
    pipe->child = NULL;
    loop_handle_close((uv_handle_t *)&pipe->uv);
}

static void process_let_go(struct gw_child *child)
{
    if (child->process != NULL)
        child->process->child = NULL;
    child->process = NULL;
}

static void child_break(struct gw_child *child, int fault)
{
    child->end.fault = fault;
    child->end.code = -1;
    child_kill(child);
    process_let_go(child);
    pipe_close(child->pipes[CHILD_OUTPUT]);
    pipe_close(child->pipes[CHILD_ERRORS]);
    child_tell(child);
}

static void child_settle(struct gw_child *child)
{
    if (child->process == NULL && child->pipes[CHILD_OUTPUT] == NULL && child->pipes[CHILD_ERRORS] == NULL)
        child_tell(child);
}

static void on_deadline(void *user)
{
    child_break(user, -ETIMEDOUT);
}

static void on_exit_status(uv_process_t *uv, int64_t status, int number)
{
    struct child_process *process = uv->data;
    struct gw_child *child = process->child;

    loop_handle_close((uv_handle_t *)uv);
    if (child == NULL)
        return;
    child->process = NULL;
    child->end.code = number != 0 ? -1 : (int)status;
    child->end.signal = number;
    child_settle(child);
}

/* ---- what it prints ---- */

static void on_room(uv_handle_t *uv, size_t suggested, uv_buf_t *buffer)
{
    struct child_pipe *pipe = uv->data;

    (void)suggested;
    *buffer = uv_buf_init(pipe->room, sizeof(pipe->room));
}

static void errors_append(struct gw_bytes *errors, const char *data, size_t size)
{
    gw_bytes_append(errors, data, size);
    if (errors->size > GW_CHILD_ERRORS_MAX) {
        memmove(errors->data, errors->data + errors->size - GW_CHILD_ERRORS_MAX, GW_CHILD_ERRORS_MAX);
        errors->size = GW_CHILD_ERRORS_MAX;
    }
}

static void on_output(uv_stream_t *uv, ssize_t size, const uv_buf_t *buffer)
{
    struct child_pipe *pipe = uv->data;
    struct gw_child *child = pipe->child;

    if (child == NULL || size == 0)
        return;
    if (size < 0) {
        pipe_close(pipe);
        child_settle(child);
    } else if (pipe->errors) {
        errors_append(&child->errors, buffer->base, (size_t)size);
    } else {
        gw_bytes_append(&child->output, buffer->base, (size_t)size);
        if (child->output.failed || child->output.size > child->output_max)
            child_break(child, child->output.failed ? -ENOMEM : -EFBIG);
    }
}

/* ---- the beginning ---- */

static int pipe_open(struct gw_child *child, bool errors)
{
    struct child_pipe *pipe = calloc(1, sizeof(*pipe));
    int result;

    if (pipe == NULL)
        return GW_RAISE(-ENOMEM);
    pipe->child = child;
    pipe->errors = errors;
    pipe->uv.data = pipe;
    result = uv_pipe_init(loop_uv(child->loop), &pipe->uv, 0);
    if (result < 0) {
        free(pipe);
        return GW_RAISE(result);
    }
    child->pipes[errors ? CHILD_ERRORS : CHILD_OUTPUT] = pipe;
    return 0;
}

static bool same_name(const char *a, const char *b)
{
    size_t size = strcspn(a, "=");

    return strncmp(a, b, size) == 0 && b[size] == '=';
}

static bool line_overridden(const char *line, const char *const *lines)
{
    for (; *lines != NULL; lines++)
        if (same_name(*lines, line))
            return true;
    return false;
}

/* Those given first, then ours of other names. The texts are borrowed. */
static int environment_merge(struct gw_arena *arena, const char *const *given, char ***ret_lines)
{
    size_t count = 1, used = 0;
    char **lines;

    for (char **line = environ; line != NULL && *line != NULL; line++)
        count++;
    for (const char *const *line = given; *line != NULL; line++)
        count++;
    lines = gw_arena_alloc(arena, count * sizeof(*lines));
    if (lines == NULL)
        return GW_RAISE(-ENOMEM);
    for (const char *const *line = given; *line != NULL; line++)
        lines[used++] = (char *)*line;
    for (char **line = environ; line != NULL && *line != NULL; line++)
        if (!line_overridden(*line, given))
            lines[used++] = *line;
    *ret_lines = lines;
    return 0;
}

static int arguments_join(struct gw_arena *arena, const struct gw_child_options *options,
                          char ***ret_arguments)
{
    size_t count = 0;
    char **arguments;

    while (options->arguments[count] != NULL)
        count++;
    arguments = gw_arena_alloc(arena, (count + 2) * sizeof(*arguments));
    if (arguments == NULL)
        return GW_RAISE(-ENOMEM);
    arguments[0] = (char *)options->command;
    for (size_t i = 0; i < count; i++)
        arguments[i + 1] = (char *)options->arguments[i];
    *ret_arguments = arguments;
    return 0;
}

static int process_spawn(struct gw_child *child, uv_process_options_t *options)
{
    struct child_process *process = calloc(1, sizeof(*process));
    int result;

    if (process == NULL)
        return GW_RAISE(-ENOMEM);
    process->child = child;
    process->uv.data = process;
    child->process = process;
    result = uv_spawn(loop_uv(child->loop), &process->uv, options);
    if (result == 0) {
        child->group = process->uv.pid;
        return 0;
    }
    process_let_go(child);
    loop_handle_close((uv_handle_t *)&process->uv);
    return GW_RAISE(result);
}

static int child_spawn(struct gw_child *child, const struct gw_child_options *given)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}};
    uv_process_options_t options = {.exit_cb = on_exit_status,
                                    .file = given->command,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 3,
                                    .stdio = stdio};

    for (int i = 0; i < CHILD_PIPES; i++) {
        stdio[i + 1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        stdio[i + 1].data.stream = (uv_stream_t *)&child->pipes[i]->uv;
    }
    GW_TRY(arguments_join(&arena, given, &options.args));
    if (given->environment != NULL)
        GW_TRY(environment_merge(&arena, given->environment, &options.env));
    GW_TRY(process_spawn(child, &options));
    for (int i = 0; i < CHILD_PIPES; i++)
        uv_read_start((uv_stream_t *)&child->pipes[i]->uv, on_room, on_output);
    return 0;
}

int gw_child_open(struct gw_child **ret_child, struct gw_loop *loop, const struct gw_child_options *options,
                  void (*ended)(void *user, const struct gw_child_end *end), void *user)
{
    GW_AUTO(gw_child_closep) struct gw_child *child = calloc(1, sizeof(*child));

    if (child == NULL)
        return GW_RAISE(-ENOMEM);
    child->loop = loop;
    child->output_max = options->output_max;
    child->ended = ended;
    child->user = user;
    GW_TRY(gw_timer_open(&child->deadline, loop, on_deadline, child));
    GW_TRY(pipe_open(child, false));
    GW_TRY(pipe_open(child, true));
    GW_TRY(child_spawn(child, options));
    gw_timer_start(child->deadline, options->timeout_ms);
    *ret_child = GW_TAKE(child);
    return 0;
}

struct gw_child *gw_child_close(struct gw_child *child)
{
    if (child == NULL)
        return NULL;
    if (child->process != NULL)
        child_kill(child);
    process_let_go(child);
    pipe_close(child->pipes[CHILD_OUTPUT]);
    pipe_close(child->pipes[CHILD_ERRORS]);
    gw_timer_close(child->deadline);
    gw_bytes_done(&child->output);
    gw_bytes_done(&child->errors);
    free(child);
    return NULL;
}
