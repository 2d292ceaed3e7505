/* The event loop: libuv behind one door. A loop belongs to the thread that runs it; every call here is for that thread
 * except gw_loop_post(). */
#ifndef GW_LOOP_H
#define GW_LOOP_H

#include "common/bytes.h"
#include "common/fault.h"

struct gw_loop;

int gw_loop_open(struct gw_loop **ret_loop) GW_MUST_CHECK;
/* Closes what is still open on it (timers, polls, …), runs their endings, frees. */
struct gw_loop *gw_loop_close(struct gw_loop *loop);
GW_DEFINE_CLEANUP(struct gw_loop *, gw_loop_close)
/* Runs until gw_loop_stop(). */
void gw_loop_run(struct gw_loop *loop);
void gw_loop_stop(struct gw_loop *loop);
/* One turn: waits for at most wait_ms (-1: until something happens). For tests and for draining at the end. */
void gw_loop_turn(struct gw_loop *loop, int wait_ms);
int64_t gw_loop_now_ms(struct gw_loop *loop); /* monotonic, cached at the start of the turn */

/* A piece of work for the loop, embedded in the caller's struct. Posted again before it ran: runs once. */
struct gw_task {
    void (*run)(struct gw_task *task);
    struct gw_task *next; /* the loop's */
    int queued;           /* the loop's (atomic) */
};
/* Any thread. Runs `task->run` on the loop soon, in the order of posting; wakes the loop only when it must.
 * The task must stay alive until it ran. What was written before the post is seen by the run. */
void gw_loop_post(struct gw_loop *loop, struct gw_task *task);
/* Posted and not begun: its memory must not be freed yet. gw_loop_close() runs what is posted. */
bool gw_task_queued(const struct gw_task *task);

struct gw_timer;
int gw_timer_open(struct gw_timer **ret_timer, struct gw_loop *loop, void (*fire)(void *user),
                  void *user) GW_MUST_CHECK;
struct gw_timer *gw_timer_close(struct gw_timer *timer);      /* never fires again; may be called in `fire` */
void gw_timer_start(struct gw_timer *timer, int64_t wait_ms); /* one shot; replaces an earlier start */
void gw_timer_stop(struct gw_timer *timer);

/* Readiness of a descriptor (not owned). */
enum { GW_READABLE = 1, GW_WRITABLE = 2 };
struct gw_poll;
int gw_poll_open(struct gw_poll **ret_poll, struct gw_loop *loop, int descriptor,
                 void (*ready)(void *user, int events), void *user) GW_MUST_CHECK;
void gw_poll_set(struct gw_poll *poll, int events); /* 0: none */
struct gw_poll *gw_poll_close(struct gw_poll *poll);

/* Changes of a directory (inotify): any entry made, renamed, removed or written. Also fires when the directory itself
 * goes. The reader looks at the directory then; names are not passed on, events are not counted. */
struct gw_watch;
int gw_watch_open(struct gw_watch **ret_watch, struct gw_loop *loop, const char *directory,
                  void (*changed)(void *user), void *user) GW_MUST_CHECK;
struct gw_watch *gw_watch_close(struct gw_watch *watch);

/* A program that is run for what it prints: without a shell, nothing on its standard input, in a session of its own. It is
 * over when it has ended and its output too; at the deadline it is killed, with all that it started. */
struct gw_child;
struct gw_child_options {
    const char *command;          /* a path, or a name to look for in PATH */
    const char *const *arguments; /* behind the command's own name; ended by NULL */
    const char *const
        *environment; /* "NAME=value": before ours of the same name; ended by NULL; NULL: ours */
    int64_t timeout_ms;
    size_t output_max; /* bytes of standard output; more, and it is killed */
};
struct gw_child_end {
    int fault;  /* 0; -ETIMEDOUT; -EFBIG: it printed too much */
    int code;   /* that it ended with; -1: by a signal */
    int signal; /* 0: none */
    struct gw_view output,
        errors; /* borrowed during ended(); of the errors the last GW_CHILD_ERRORS_MAX bytes */
};
enum { GW_CHILD_ERRORS_MAX = 4096 };
/* Everything is copied. `ended` exactly once, from the loop. -ENOENT, -EACCES …: it cannot be started. */
int gw_child_open(struct gw_child **ret_child, struct gw_loop *loop, const struct gw_child_options *options,
                  void (*ended)(void *user, const struct gw_child_end *end), void *user) GW_MUST_CHECK;
/* Kills what still runs, without ended(). May be called in it. */
struct gw_child *gw_child_close(struct gw_child *child);
GW_DEFINE_CLEANUP(struct gw_child *, gw_child_close)

struct gw_signal;
int gw_signal_open(struct gw_signal **ret_signal, struct gw_loop *loop, int number,
                   void (*caught)(void *user), void *user) GW_MUST_CHECK;
struct gw_signal *gw_signal_close(struct gw_signal *signal);

#endif
