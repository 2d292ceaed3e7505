/* gateway-server-spool: a file that is moved into a directory becomes an event, and is removed when the event is durable.
 *
 * Writers make the file elsewhere on the same file system, or under a name that begins with '.', and rename it into the
 * directory when it is whole. Nothing is lost when any process dies: the file is there until the gateway-client has its event. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gateway-servers/sdk/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNDER_WAY_MAX = 256, LOOK_AGAIN_MS = 5000 };

struct spool_config {
    const char *directory, *content_type;
    uint64_t size_max;
};

static const struct gw_setting spool_settings[] = {
    {.name = "directory",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct spool_config, directory),
     .required = true,
     .help = "directory whose files become events"},
    {.name = "contentType",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct spool_config, content_type),
     .help = "media type of the files; left out: JSON where they are, else application/octet-stream"},
    {.name = "sizeMax",
     .kind = GW_SETTING_SIZE,
     .offset = offsetof(struct spool_config, size_max),
     .otherwise = "1Mi",
     .min = 1,
     .max = 3 << 20,
     .help = "largest file; a larger one stays where it is, and the status tells"},
    {0},
};

/* A file whose event was emitted, until it is durable. Events are acknowledged in order, so this is a queue. */
struct spool_file {
    uint64_t sequence;
    char *name;
};

struct spool {
    struct gws_source *source;
    const struct spool_config *config;
    struct gw_watch *watch;
    struct gw_timer *timer; /* inotify may miss what a network file system does */
    int directory;
    struct spool_file under_way[UNDER_WAY_MAX]; /* a ring */
    size_t first, count;
    bool warned; /* by this look … */
    bool well;   /* … and all was well at the one before: said once */
};

static struct spool_file *spool_at(struct spool *spool, size_t index)
{
    return &spool->under_way[(spool->first + index) % UNDER_WAY_MAX];
}

static bool spool_knows(struct spool *spool, const char *name)
{
    for (size_t i = 0; i < spool->count; i++)
        if (strcmp(spool_at(spool, i)->name, name) == 0)
            return true;
    return false;
}

static void spool_warn(struct spool *spool, const char *name, const char *words)
{
    spool->warned = true;
    gws_source_notice(spool->source, true, "%s/%s: %s", spool->config->directory, name, words);
}

/* ---- files into events ---- */

static int spool_emit(struct spool *spool, const char *name, const struct stat *status, struct gw_view data)
{
    char id[128];
    struct spool_file file = {.name = strdup(name)};
    struct gws_event event = {
        .id = {id, 0},
        .time_ns = status->st_mtim.tv_sec * GW_NS_PER_S + status->st_mtim.tv_nsec,
        .subject = gw_view_text(name),
        .data_content_type = gw_view_text(spool->config->content_type),
        .data = data,
    };

    if (file.name == NULL)
        return -ENOMEM;
    /* the same file read again after a restart is the same event; another file of the same name is not */
    event.id.size = (size_t)snprintf(id, sizeof(id), "%llu-%lld", (unsigned long long)status->st_ino,
                                     (long long)event.time_ns);
    int fault = gws_source_emit(spool->source, &event, &file.sequence);
    if (fault < 0) {
        free(file.name);
        return fault;
    }
    *spool_at(spool, spool->count++) = file;
    return 0;
}

static void spool_take(struct spool *spool, const char *name)
{
    struct gw_bytes data = {0};
    struct stat status;
    int file = openat(spool->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (file < 0 || fstat(file, &status) < 0) {
        if (errno != ENOENT)
            spool_warn(spool, name, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        ; /* a directory is none of ours */
    } else if ((uint64_t)status.st_size > spool->config->size_max) {
        spool_warn(spool, name, "larger than sizeMax, so it stays where it is");
    } else {
        char *room = gw_bytes_reserve(&data, (size_t)status.st_size + 1);
        ssize_t size = room == NULL ? -1 : read(file, room, (size_t)status.st_size);
        if (size != status.st_size || spool_emit(spool, name, &status, gw_view(room, (size_t)size)) < 0)
            spool_warn(spool, name, "cannot be read now");
    }
    if (file >= 0)
        close(file);
    gw_bytes_done(&data);
}

static int wanted(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Takes what is there, oldest names first, as much as may be under way. */
static void spool_look(void *user)
{
    struct spool *spool = user;
    struct dirent **entries = NULL;
    int count = scandir(spool->config->directory, &entries, wanted, alphasort);

    spool->warned = false;
    if (count < 0)
        spool_warn(spool, ".", strerror(errno));
    for (int i = 0; i < count; i++) {
        bool room = spool->count < UNDER_WAY_MAX && !gws_source_paused(spool->source);
        if (room && !spool_knows(spool, entries[i]->d_name))
            spool_take(spool, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (!spool->warned && !spool->well)
        gws_source_notice(spool->source, false, "watching %s", spool->config->directory);
    spool->well = !spool->warned;
    gw_timer_start(spool->timer, LOOK_AGAIN_MS);
}

/* ---- the life of a source ---- */

static void spool_validate(struct gws_server *server, const struct gws_identity *identity, const void *data,
                           struct gw_problems *problems)
{
    const struct spool_config *config = data;

    (void)server, (void)identity;
    if (config->directory != NULL && access(config->directory, R_OK | W_OK | X_OK) != 0)
        gw_problems_add(problems, "directory", 0, "%s: %s; it must be readable and writable",
                        config->directory, strerror(errno));
}

static void spool_stop(struct gws_source *source, void *state)
{
    struct spool *spool = state;

    (void)source;
    for (size_t i = 0; i < spool->count; i++)
        free(spool_at(spool, i)->name);
    gw_watch_close(spool->watch);
    gw_timer_close(spool->timer);
    if (spool->directory >= 0)
        close(spool->directory);
}

static int spool_start(struct gws_source *source, const void *config, void *state, struct gw_view position,
                       struct gw_reason *reason)
{
    struct spool *spool = state;
    struct gw_loop *loop = gws_server_loop(gws_source_server(source));

    (void)position; /* the directory itself is the position: what is durable is gone from it */
    spool->source = source;
    spool->config = config;
    spool->directory = open(spool->config->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->directory < 0) {
        gw_reason_set(reason, "%s: %s", spool->config->directory, strerror(errno));
        return -EIO;
    }
    int fault = gw_timer_open(&spool->timer, loop, spool_look, spool);
    if (fault == 0)
        fault = gw_watch_open(&spool->watch, loop, spool->config->directory, spool_look, spool);
    if (fault < 0) {
        gw_reason_set(reason, "%s cannot be watched: %s", spool->config->directory, strerror(-fault));
        spool_stop(source, state);
        return fault;
    }
    gws_source_started(source);
    spool_look(spool);
    return 0;
}

static void spool_resume(struct gws_source *source, void *state)
{
    (void)source;
    spool_look(state);
}

static void spool_acknowledged(struct gws_source *source, void *state, uint64_t sequence)
{
    struct spool *spool = state;

    (void)source;
    while (spool->count > 0 && spool_at(spool, 0)->sequence <= sequence) {
        struct spool_file *file = spool_at(spool, 0);
        unlinkat(spool->directory, file->name, 0); /* already gone is as good */
        free(file->name);
        spool->first = (spool->first + 1) % UNDER_WAY_MAX;
        spool->count--;
    }
    gw_timer_start(spool->timer, 0); /* there may be more than fitted */
}

static const struct gws_module spool_module = {
    .type = "spool",
    .summary = "files that are moved into a directory become events",
    .version = "1.0.0",
    .event_type = "example.spool.file",
    .settings = spool_settings,
    .config_size = sizeof(struct spool_config),
    .state_size = sizeof(struct spool),
    .window_max = UNDER_WAY_MAX,
    .validate = spool_validate,
    .start = spool_start,
    .resume = spool_resume,
    .acknowledged = spool_acknowledged,
    .stop = spool_stop,
};
GWS_MAIN(spool_module)
