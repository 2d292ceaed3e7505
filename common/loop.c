/* The event loop: libuv behind one door. */
#include "common/loop_parts.h"

#include <stdlib.h>

struct gw_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t turn;
    struct gw_task *posted; /* newest first; any thread pushes, the loop takes all at once */
};

/* Each of these starts with its libuv handle, whose `data` points back: libuv frees nothing itself. */
struct gw_timer {
    uv_timer_t uv;
    void (*fire)(void *user);
    void *user;
};

struct gw_poll {
    uv_poll_t uv;
    void (*ready)(void *user, int events);
    void *user;
    int events;
};

struct gw_watch {
    uv_fs_event_t uv;
    void (*changed)(void *user);
    void *user;
};

struct gw_signal {
    uv_signal_t uv;
    void (*caught)(void *user);
    void *user;
};

/* ---- handles ---- */

static void handle_free(uv_handle_t *handle)
{
    free(handle->data);
}

static void handle_close(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, handle_free);
}

static void handle_close_each(uv_handle_t *handle, void *user)
{
    (void)user;
    handle_close(handle);
}

uv_loop_t *loop_uv(struct gw_loop *loop)
{
    return &loop->uv;
}

void loop_handle_close(uv_handle_t *handle)
{
    handle_close(handle);
}

/* ---- tasks ---- */

static struct gw_task *tasks_in_order(struct gw_task *newest)
{
    struct gw_task *oldest = NULL;

    while (newest != NULL) {
        struct gw_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static bool tasks_run(struct gw_loop *loop)
{
    struct gw_task *task = tasks_in_order(__atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQUIRE));
    bool any = task != NULL;

    while (task != NULL) {
        struct gw_task *next = task->next;
        /* An exchange, not a store: it is ordered after the exchange of a post that found the task queued, so
         * the run sees what was written before that post. */
        __atomic_exchange_n(&task->queued, 0, __ATOMIC_ACQ_REL);
        task->run(task);
        task = next;
    }
    return any;
}

static void on_wake(uv_async_t *wake)
{
    (void)tasks_run(wake->loop->data);
}

void gw_loop_post(struct gw_loop *loop, struct gw_task *task)
{
    struct gw_task *head;

    if (__atomic_exchange_n(&task->queued, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    head = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);
    do
        task->next = head;
    while (
        !__atomic_compare_exchange_n(&loop->posted, &head, task, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (head == NULL)
        uv_async_send(&loop->wake);
}

bool gw_task_queued(const struct gw_task *task)
{
    return __atomic_load_n(&task->queued, __ATOMIC_ACQUIRE) != 0;
}

/* ---- loop ---- */

static int loop_handles_open(struct gw_loop *loop)
{
    int result = uv_async_init(&loop->uv, &loop->wake, on_wake);

    if (result < 0)
        return GW_RAISE(result);
    result = uv_timer_init(&loop->uv, &loop->turn);
    return result < 0 ? GW_RAISE(result) : 0;
}

int gw_loop_open(struct gw_loop **ret_loop)
{
    struct gw_loop *loop = calloc(1, sizeof(*loop));
    int result;

    if (loop == NULL)
        return GW_RAISE(-ENOMEM);
    result = uv_loop_init(&loop->uv);
    if (result < 0) {
        free(loop);
        return GW_RAISE(result);
    }
    loop->uv.data = loop;
    result = loop_handles_open(loop);
    if (result < 0) {
        gw_loop_close(loop);
        return result;
    }
    *ret_loop = loop;
    return 0;
}

struct gw_loop *gw_loop_close(struct gw_loop *loop)
{
    int busy;

    if (loop == NULL)
        return NULL;
    while (tasks_run(loop))
        ;
    uv_walk(&loop->uv, handle_close_each, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    busy = uv_loop_close(&loop->uv);
    assert(busy == 0);
    (void)busy;
    free(loop);
    return NULL;
}

void gw_loop_run(struct gw_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void gw_loop_stop(struct gw_loop *loop)
{
    uv_stop(&loop->uv);
}

/* uv_run looks at timers before it polls, too: on a busy machine this one may be due by then, and a poll without it would wait
 * for ever. */
static void on_turn_over(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

void gw_loop_turn(struct gw_loop *loop, int wait_ms)
{
    if (wait_ms > 0) {
        uv_update_time(&loop->uv);
        /* repeating: one that was over before uv_run() looked at it would leave the wait without an end */
        uv_timer_start(&loop->turn, on_turn_over, (uint64_t)wait_ms, (uint64_t)wait_ms);
    }
    uv_run(&loop->uv, wait_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    uv_timer_stop(&loop->turn);
}

int64_t gw_loop_now_ms(struct gw_loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *uv)
{
    struct gw_timer *timer = uv->data;

    timer->fire(timer->user);
}

int gw_timer_open(struct gw_timer **ret_timer, struct gw_loop *loop, void (*fire)(void *user), void *user)
{
    struct gw_timer *timer = calloc(1, sizeof(*timer));
    int result;

    if (timer == NULL)
        return GW_RAISE(-ENOMEM);
    timer->fire = fire;
    timer->user = user;
    timer->uv.data = timer;
    result = uv_timer_init(&loop->uv, &timer->uv);
    if (result < 0) {
        free(timer);
        return GW_RAISE(result);
    }
    *ret_timer = timer;
    return 0;
}

struct gw_timer *gw_timer_close(struct gw_timer *timer)
{
    if (timer != NULL)
        handle_close((uv_handle_t *)&timer->uv);
    return NULL;
}

void gw_timer_start(struct gw_timer *timer, int64_t wait_ms)
{
    /* libuv counts from its cached time: after a long callback the timer would fire early by as much. */
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, on_timer, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

void gw_timer_stop(struct gw_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

/* ---- descriptors ---- */

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct gw_poll *poll = uv->data;

    if (status < 0) {
        /* libuv has stopped watching; the owner finds the error when it reads or writes. */
        poll->events = 0;
        poll->ready(poll->user, GW_READABLE | GW_WRITABLE);
        return;
    }
    poll->ready(poll->user, ((events & UV_READABLE) != 0 ? GW_READABLE : 0) |
                                ((events & UV_WRITABLE) != 0 ? GW_WRITABLE : 0));
}

int gw_poll_open(struct gw_poll **ret_poll, struct gw_loop *loop, int descriptor,
                 void (*ready)(void *user, int events), void *user)
{
    struct gw_poll *poll = calloc(1, sizeof(*poll));
    int result;

    if (poll == NULL)
        return GW_RAISE(-ENOMEM);
    poll->ready = ready;
    poll->user = user;
    poll->uv.data = poll;
    result = uv_poll_init(&loop->uv, &poll->uv, descriptor);
    if (result < 0) {
        free(poll);
        return GW_RAISE(result);
    }
    *ret_poll = poll;
    return 0;
}

void gw_poll_set(struct gw_poll *poll, int events)
{
    /* uv_poll_start makes two system calls even where nothing changes. */
    if (poll->events == events)
        return;
    poll->events = events;
    if (events == 0)
        uv_poll_stop(&poll->uv);
    else
        uv_poll_start(&poll->uv,
                      ((events & GW_READABLE) != 0 ? UV_READABLE : 0) |
                          ((events & GW_WRITABLE) != 0 ? UV_WRITABLE : 0),
                      on_poll);
}

struct gw_poll *gw_poll_close(struct gw_poll *poll)
{
    if (poll != NULL)
        handle_close((uv_handle_t *)&poll->uv);
    return NULL;
}

/* ---- directories ---- */

static void on_change(uv_fs_event_t *uv, const char *name, int events, int status)
{
    struct gw_watch *watch = uv->data;

    (void)name;
    (void)events;
    (void)status;
    watch->changed(watch->user);
}

int gw_watch_open(struct gw_watch **ret_watch, struct gw_loop *loop, const char *directory,
                  void (*changed)(void *user), void *user)
{
    struct gw_watch *watch = calloc(1, sizeof(*watch));
    int result;

    if (watch == NULL)
        return GW_RAISE(-ENOMEM);
    watch->changed = changed;
    watch->user = user;
    watch->uv.data = watch;
    result = uv_fs_event_init(&loop->uv, &watch->uv);
    if (result < 0) {
        free(watch);
        return GW_RAISE(result);
    }
    result = uv_fs_event_start(&watch->uv, on_change, directory, 0);
    if (result < 0) {
        gw_watch_close(watch);
        return GW_RAISE(result);
    }
    *ret_watch = watch;
    return 0;
}

struct gw_watch *gw_watch_close(struct gw_watch *watch)
{
    if (watch != NULL)
        handle_close((uv_handle_t *)&watch->uv);
    return NULL;
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *uv, int number)
{
    struct gw_signal *caught = uv->data;

    (void)number;
    caught->caught(caught->user);
}

int gw_signal_open(struct gw_signal **ret_signal, struct gw_loop *loop, int number,
                   void (*caught)(void *user), void *user)
{
    struct gw_signal *signal = calloc(1, sizeof(*signal));
    int result;

    if (signal == NULL)
        return GW_RAISE(-ENOMEM);
    signal->caught = caught;
    signal->user = user;
    signal->uv.data = signal;
    result = uv_signal_init(&loop->uv, &signal->uv);
    if (result < 0) {
        free(signal);
        return GW_RAISE(result);
    }
    result = uv_signal_start(&signal->uv, on_signal, number);
    if (result < 0) {
        gw_signal_close(signal);
        return GW_RAISE(result);
    }
    *ret_signal = signal;
    return 0;
}

struct gw_signal *gw_signal_close(struct gw_signal *signal)
{
    if (signal != NULL)
        handle_close((uv_handle_t *)&signal->uv);
    return NULL;
}
