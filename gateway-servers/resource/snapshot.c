/* Snapshot: jobs for a thread of its own, done one after the other, answered on the loop. */
#include "gateway-servers/resource/snapshot.h"

#include "common/log.h"
#include "gateway-servers/resource/snapshot_file.h"

#include <pthread.h>
#include <stdlib.h>

enum job_kind { JOB_LOAD, JOB_SAVE, JOB_FORGET };

struct job {
    struct gw_task task; /* the answer */
    struct job *next;
    enum job_kind kind;
    struct snapshot_source *source;
    struct gw_bytes position;
    struct ledger_rows rows;
    int fault;
};

struct snapshots {
    struct gw_loop *loop;
    struct snapshot_file *file; /* the thread's, while it runs */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct job *first, **last;
    bool ending;
};

struct snapshot_source {
    struct snapshots *snapshots;
    char *key, *settings;
    void (*done)(void *user, const struct snapshot *snapshot);
    void *user;
    size_t jobs; /* not answered yet */
    bool closed;
    int64_t number; /* the thread's; 0: it could not be loaded, or written: left as it is */
};

/* ---- the thread ---- */

static void job_run(struct snapshot_file *file, struct job *job)
{
    struct snapshot_source *source = job->source;

    if (job->kind == JOB_LOAD)
        job->fault = snapshot_file_load(file, source->key, source->settings, &source->number, &job->position,
                                        &job->rows);
    else if (source->number == 0)
        return;
    else if (job->kind == JOB_SAVE)
        job->fault = snapshot_file_save(file, source->number, gw_bytes_text(&job->position), &job->rows);
    else
        job->fault = snapshot_file_forget(file, source->number);
    if (job->fault < 0)
        source->number = 0;
}

static struct job *snapshots_next(struct snapshots *snapshots)
{
    pthread_mutex_lock(&snapshots->lock);
    while (snapshots->first == NULL && !snapshots->ending)
        pthread_cond_wait(&snapshots->wake, &snapshots->lock);
    struct job *job = snapshots->first;
    if (job != NULL) {
        snapshots->first = job->next;
        if (snapshots->first == NULL)
            snapshots->last = &snapshots->first;
    }
    pthread_mutex_unlock(&snapshots->lock);
    return job;
}

static void *snapshots_run(void *user)
{
    struct snapshots *snapshots = user;
    struct job *job;

    while ((job = snapshots_next(snapshots)) != NULL) {
        job_run(snapshots->file, job);
        gw_loop_post(snapshots->loop, &job->task);
    }
    return NULL;
}

/* ---- answers, on the loop ---- */

static void source_free(struct snapshot_source *source)
{
    if (!source->closed || source->jobs > 0)
        return;
    free(source->key);
    free(source->settings);
    free(source);
}

static void job_free(struct job *job)
{
    gw_bytes_done(&job->position);
    ledger_rows_done(&job->rows);
    free(job);
}

static void on_done(struct gw_task *task)
{
    struct job *job = GW_CONTAINER_OF(task, struct job, task);
    struct snapshot_source *source = job->source;
    const char *position = gw_bytes_text(&job->position);

    source->jobs--;
    if (job->fault < 0)
        gw_log(GW_LOG_ERROR, "the snapshot of an event source cannot be kept; it stays as it was", "source",
               source->key, "reason", strerrordesc_np(-job->fault), NULL);
    if (job->kind == JOB_LOAD && !source->closed) {
        const struct snapshot snapshot = {job->fault < 0 || position == NULL ? "" : position, job->rows.first,
                                          job->rows.count};
        source->done(source->user, &snapshot);
    }
    job_free(job);
    source_free(source);
}

static int job_post(struct snapshot_source *source, enum job_kind kind, const char *position,
                    struct ledger_rows *rows)
{
    struct snapshots *snapshots = source->snapshots;
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return GW_RAISE(-ENOMEM);
    job->task.run = on_done;
    job->kind = kind;
    job->source = source;
    gw_bytes_append_text(&job->position, position);
    if (gw_bytes_text(&job->position) == NULL) {
        job_free(job);
        return GW_RAISE(-ENOMEM);
    }
    if (rows != NULL) {
        job->rows = *rows;
        *rows = (struct ledger_rows){0};
    }
    source->jobs++;
    pthread_mutex_lock(&snapshots->lock);
    *snapshots->last = job;
    snapshots->last = &job->next;
    pthread_cond_signal(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
    return 0;
}

/* ---- sources ---- */

int snapshot_load(struct snapshot_source **ret_source, struct snapshots *snapshots, const char *key,
                  const char *settings, void (*done)(void *user, const struct snapshot *snapshot), void *user)
{
    struct snapshot_source *source = calloc(1, sizeof(*source));

    if (source == NULL)
        return GW_RAISE(-ENOMEM);
    *source = (struct snapshot_source){
        .snapshots = snapshots, .key = strdup(key), .settings = strdup(settings), .done = done, .user = user};
    int fault = source->key == NULL || source->settings == NULL ? GW_RAISE(-ENOMEM)
                                                                : job_post(source, JOB_LOAD, "", NULL);
    if (fault < 0) {
        source->closed = true;
        source_free(source);
        return fault;
    }
    *ret_source = source;
    return 0;
}

int snapshot_save(struct snapshot_source *source, const char *position, struct ledger_rows *rows)
{
    return job_post(source, JOB_SAVE, position, rows);
}

size_t snapshot_behind(const struct snapshot_source *source)
{
    return source->jobs;
}

struct snapshot_source *snapshot_close(struct snapshot_source *source, bool forget)
{
    if (source == NULL)
        return NULL;
    /* without memory it stays, and is found by whoever comes under the same name */
    if (forget)
        (void)!job_post(source, JOB_FORGET, "", NULL);
    source->closed = true;
    source_free(source);
    return NULL;
}

/* ---- life ---- */

int snapshots_open(struct snapshots **ret_snapshots, struct gw_loop *loop, const char *directory,
                   struct gw_reason *reason)
{
    GW_AUTO(snapshot_file_closep) struct snapshot_file *file = NULL;
    struct snapshots *snapshots;

    GW_TRY(snapshot_file_open(&file, directory, reason));
    snapshots = calloc(1, sizeof(*snapshots));
    if (snapshots == NULL)
        return GW_RAISE(-ENOMEM);
    snapshots->loop = loop;
    snapshots->last = &snapshots->first;
    snapshots->file = file;
    pthread_mutex_init(&snapshots->lock, NULL);
    pthread_cond_init(&snapshots->wake, NULL);
    if (pthread_create(&snapshots->thread, NULL, snapshots_run, snapshots) != 0) {
        free(snapshots);
        return GW_RAISE(-EAGAIN);
    }
    (void)GW_TAKE(file);
    *ret_snapshots = snapshots;
    return 0;
}

struct snapshots *snapshots_close(struct snapshots *snapshots)
{
    if (snapshots == NULL)
        return NULL;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->ending = true;
    pthread_cond_signal(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
    pthread_join(snapshots->thread, NULL);
    snapshot_file_close(snapshots->file);
    pthread_cond_destroy(&snapshots->wake);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
    return NULL;
}
