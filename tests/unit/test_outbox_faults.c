/* The outbox when things fail: the n-th allocation, open, write, fsync or ftruncate fails, for every n until a run meets no
 * fault; and the process is killed at the n-th, in the middle of a write. What was acknowledged is there afterwards. */
#include "common/clock.h"
#include "gateway-client/outbox/outbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/outbox_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS = 24, PARCELS = 6, PARCEL_EVENTS = EVENTS / PARCELS, WAIT_MS = 30000, SWEEP_MAX = 20000 };
/* A disk that is full has this room left for each transaction. */
enum { FAULT_ROOM = 256 << 10 };

/* ---- the fault ---- */

enum kind {
    FAULT_MEMORY = 1,
    FAULT_OPEN,
    FAULT_WRITE,
    FAULT_LARGE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_ANY_FILE
};
static _Atomic int fault_kind; /* 0: none */
static _Atomic long fault_countdown;
static _Atomic bool fault_kills, fault_fired;
static _Atomic bool fault_lasts; /* this call and all that follow */
static _Atomic size_t unsynced;  /* bytes written since the last sync, or the last write that failed */

static void fault_arm(enum kind kind, long n, bool kills)
{
    fault_fired = false;
    fault_countdown = n;
    fault_kills = kills;
    fault_kind = (int)kind;
}

static bool fault_disarm(void)
{
    fault_kind = 0;
    fault_lasts = false;
    return fault_fired;
}

/* True: this is the call that fails. */
static bool fault_now(enum kind kind)
{
    int armed = fault_kind;
    if (armed != (int)kind && !(armed == FAULT_ANY_FILE && kind != FAULT_MEMORY))
        return false;
    if (!fault_lasts && atomic_fetch_sub(&fault_countdown, 1) != 1)
        return false;
    fault_fired = true;
    if (fault_kills && kind != FAULT_WRITE)
        kill(getpid(), SIGKILL);
    return true;
}

/* Our own code, by the linker's --wrap. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size)
{
    return fault_now(FAULT_MEMORY) ? NULL : __real_realloc(pointer, size);
}

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (fault_now(FAULT_OPEN)) {
        errno = EMFILE;
        return -1;
    }
    return openat(AT_FDCWD, path, flags, mode);
}

int __wrap_ftruncate64(int descriptor, off_t size);
int __wrap_ftruncate64(int descriptor, off_t size)
{
    if (fault_now(FAULT_TRUNCATE)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, descriptor, size);
}

/* SQLite calls fdatasync() directly, so this one is taken by its name. */
int fdatasync(int descriptor)
{
    unsynced = 0;
    if (fault_now(FAULT_SYNC)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, descriptor);
}

int fsync(int descriptor)
{
    if (fault_now(FAULT_SYNC)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, descriptor);
}

/* SQLite's system calls, by its own hook. */
static int shim_open(const char *path, int flags, int mode)
{
    if (fault_now(FAULT_OPEN)) {
        errno = EMFILE;
        return -1;
    }
    return openat(AT_FDCWD, path, flags, mode);
}

static bool write_fails(size_t size)
{
    bool large = atomic_fetch_add(&unsynced, size) + size > FAULT_ROOM;
    bool fails = fault_now(FAULT_WRITE) || (large && fault_now(FAULT_LARGE));
    if (fails)
        unsynced = 0;
    return fails;
}

static ssize_t shim_pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    if (write_fails(size)) {
        /* Half of it gets there, as on a disk that fills up, or when the power goes. */
        ssize_t written = pwrite(descriptor, data, size / 2, offset);
        if (fault_kills)
            kill(getpid(), SIGKILL);
        errno = ENOSPC;
        return written < 0 ? written : -1;
    }
    return pwrite(descriptor, data, size, offset);
}

static ssize_t shim_write(int descriptor, const void *data, size_t size)
{
    if (fault_now(FAULT_WRITE)) {
        if (fault_kills)
            kill(getpid(), SIGKILL);
        errno = ENOSPC;
        return -1;
    }
    return write(descriptor, data, size);
}

static int shim_ftruncate(int descriptor, off_t size)
{
    if (fault_now(FAULT_TRUNCATE)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, descriptor, size);
}

static sqlite3_mem_methods memory_real;
static void *shim_malloc(int size)
{
    return fault_now(FAULT_MEMORY) ? NULL : memory_real.xMalloc(size);
}

static void *shim_realloc(void *pointer, int size)
{
    return fault_now(FAULT_MEMORY) ? NULL : memory_real.xRealloc(pointer, size);
}

static int shims_install(void **state)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {{"open", (sqlite3_syscall_ptr)shim_open},
                 {"pwrite", (sqlite3_syscall_ptr)shim_pwrite},
                 {"pwrite64", (sqlite3_syscall_ptr)shim_pwrite},
                 {"write", (sqlite3_syscall_ptr)shim_write},
                 {"ftruncate", (sqlite3_syscall_ptr)shim_ftruncate}};
    sqlite3_mem_methods memory;

    (void)state;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory_real), SQLITE_OK);
    memory = memory_real;
    memory.xMalloc = shim_malloc;
    memory.xRealloc = shim_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
    /* Without the per-connection pools each allocation is one that can fail. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < GW_COUNT_OF(calls); i++) {
        int code = vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call);
        assert_true(code == SQLITE_OK || code == SQLITE_NOTFOUND);
    }
    return 0;
}

/* ---- the scene ---- */

struct parcel {
    struct gwc_append append;
    struct gw_event *events[PARCEL_EVENTS];
    bool natural[PARCEL_EVENTS];
    char position[16];
    _Atomic int answer;
    int pipe; /* where the number of the parcel is reported; -1: nowhere */
    unsigned char number;
};

struct scene {
    char directory[64];
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    struct gwc_outbox_options options;
    struct parcel parcels[PARCELS];
    unsigned present[EVENTS];
    uint64_t after;
    size_t read_count;
    bool read_done;
    bool pressed, relieved;
    char words[256];
};

static void on_committed(void *user, struct gw_event *const *events, size_t count)
{
    (void)user;
    (void)events;
    (void)count;
}

static void on_pressure(void *user, bool full, const char *reason)
{
    struct scene *scene = user;
    scene->pressed |= full;
    scene->relieved |= !full;
    if (full)
        snprintf(scene->words, sizeof(scene->words), "%s", reason);
}

static void directory_remove(const char *path)
{
    char file[512];
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        unlink(file);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static bool shared; /* the outbox is that of a leader, with an epoch */

static void scene_open(struct scene *scene, bool no_fsync)
{
    memset(scene, 0, sizeof(*scene));
    strcpy(scene->directory,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/outbox-faults-XXXXXX" : "/tmp/outbox-faults-XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    assert_int_equal(gw_loop_open(&scene->loop), 0);
    scene->options = (struct gwc_outbox_options){.directory = scene->directory,
                                                 .size_max = 1 << 30,
                                                 .retention_ms = 3600 * 1000,
                                                 .no_fsync = no_fsync,
                                                 .loop = scene->loop,
                                                 .committed = on_committed,
                                                 .pressure = on_pressure,
                                                 .user = scene};
}

static void scene_close(struct scene *scene)
{
    scene->outbox = gwc_outbox_close(scene->outbox);
    gw_loop_close(scene->loop);
    directory_remove(scene->directory);
}

/* Whatever fails, nothing may look like damage. */
static int outbox_try(struct scene *scene)
{
    char *set_aside = NULL;
    struct gw_reason reason = {0};
    if (shared)
        scene->options.epoch++; /* each opening has its own */
    int fault = gwc_outbox_open(&scene->outbox, &scene->options, &set_aside, &reason);
    if (set_aside != NULL)
        fail_msg("set aside: %s", set_aside);
    return fault;
}

static void outbox_must(struct scene *scene)
{
    int fault = outbox_try(scene);
    if (fault != 0)
        fail_msg("does not open: %s", gw_fault_trace());
}

static void parcel_durable(struct gwc_append *append, bool ok)
{
    struct parcel *parcel = GW_CONTAINER_OF(append, struct parcel, append);
    if (ok && parcel->pipe >= 0)
        syscall(SYS_write, parcel->pipe, &parcel->number, 1);
    parcel->answer = ok ? 1 : -1;
}

static void parcels_make(struct scene *scene, int pipe)
{
    char id[16];
    static const char data[3000];

    for (size_t i = 0; i < EVENTS; i++) {
        struct parcel *parcel = &scene->parcels[i / PARCEL_EVENTS];
        snprintf(id, sizeof(id), "%zu", i);
        const struct gw_event_fields fields = {.id = gw_view_text(id),
                                               .source = gw_view_text("urn:shop"),
                                               .type = gw_view_text("t"),
                                               .data = gw_view(data, i * 100)};
        parcel->events[i % PARCEL_EVENTS] = gw_event_new(&fields);
        parcel->natural[i % PARCEL_EVENTS] = true;
        parcel->number = (unsigned char)(i / PARCEL_EVENTS);
        parcel->pipe = pipe;
        parcel->answer = 0;
    }
}

static void parcel_send(struct scene *scene, struct parcel *parcel)
{
    snprintf(parcel->position, sizeof(parcel->position), "%u", parcel->number + 1U);
    parcel->append = (struct gwc_append){.events = parcel->events,
                                         .natural = parcel->natural,
                                         .count = PARCEL_EVENTS,
                                         .source_key = "shop",
                                         .position = gw_view_text(parcel->position),
                                         .durable = parcel_durable};
    gwc_outbox_append(scene->outbox, &parcel->append);
}

static void wait_for(struct scene *scene, const bool *flag, const _Atomic int *answer)
{
    int64_t until_ns = gw_clock_monotonic_ns() + WAIT_MS * GW_NS_PER_MS;
    while (flag != NULL ? !*flag : *answer == 0) {
        if (gw_clock_monotonic_ns() > until_ns)
            fail_msg("waited in vain");
        gw_loop_turn(scene->loop, 0);
        usleep(500);
    }
}

static void parcels_send_all(struct scene *scene)
{
    for (size_t i = 0; i < PARCELS; i++) {
        parcel_send(scene, &scene->parcels[i]);
        wait_for(scene, NULL, &scene->parcels[i].answer);
        assert_int_equal(scene->parcels[i].answer, 1);
    }
}

static int watcher_open(struct scene *scene, uint64_t *ret_cursor, size_t *ret_retries)
{
    struct gwc_retry *retries = NULL;
    size_t count = 0;
    int fault = gwc_outbox_watcher_open(scene->outbox, "w", ret_cursor, &retries, &count);
    if (fault != 0)
        return fault;
    for (size_t i = 0; i < count; i++)
        gw_event_unref(retries[i].event);
    free(retries);
    *ret_retries = count;
    return 0;
}

static void on_read(void *user, struct gw_event *const *events, size_t count, uint64_t last)
{
    (void)last;
    struct scene *scene = user;
    for (size_t i = 0; i < count; i++) {
        char id[16] = "";
        memcpy(id, events[i]->fields.id.data, GW_MIN(events[i]->fields.id.size, sizeof(id) - 1));
        scene->present[atoi(id)]++;
        assert_int_equal(events[i]->fields.data.size, atoi(id) * 100);
        assert_true(events[i]->sequence > scene->after);
        scene->after = events[i]->sequence;
    }
    scene->read_count = count;
    scene->read_done = true;
}

static void events_read(struct scene *scene)
{
    memset(scene->present, 0, sizeof(scene->present));
    scene->after = 0;
    do {
        scene->read_done = false;
        gwc_outbox_read(scene->outbox, scene->after, 7, 1 << 20, on_read, scene);
        wait_for(scene, &scene->read_done, NULL);
    } while (scene->read_count > 0);
}

/* Returns the position: parcels that are there. */
static int present_check(struct scene *scene)
{
    struct gw_bytes position = {0};

    events_read(scene);
    assert_int_equal(gwc_outbox_position(scene->outbox, "shop", &position), 0);
    int reached = position.size == 0 ? 0 : position.data[0] - '0';
    gw_bytes_done(&position);
    /* The position is of the same transaction as the events, none of which is there twice. */
    for (size_t i = 0; i < EVENTS; i++)
        assert_int_equal(scene->present[i], (int)(i / PARCEL_EVENTS) < reached);
    return reached;
}

static void progress_tell(struct scene *scene)
{
    struct gwc_progress retry = {.outcome = GWC_RETRY, .sequence = 3, .attempts = 1, .reason = "HTTP 503"};
    struct gwc_progress dead = {.outcome = GWC_DEAD, .sequence = 4, .attempts = 1, .reason = "HTTP 400"};
    while (!gwc_outbox_progress(scene->outbox, "w", &retry) ||
           !gwc_outbox_progress(scene->outbox, "w", &dead))
        ;
    gwc_outbox_cursor(scene->outbox, "w", EVENTS);
}

/* ---- one fault at a time ---- */

/* Everything an outbox does. A call that says it failed is made once more: there is only one fault. */
static void act(struct scene *scene)
{
    uint64_t cursor = 0;
    size_t retries = 0;

    if (outbox_try(scene) != 0)
        outbox_must(scene);
    if (watcher_open(scene, &cursor, &retries) != 0)
        assert_int_equal(watcher_open(scene, &cursor, &retries), 0);
    parcels_send_all(scene);
    progress_tell(scene);
    if (watcher_open(scene, &cursor, &retries) != 0)
        assert_int_equal(watcher_open(scene, &cursor, &retries), 0);
    events_read(scene);
    for (size_t i = 0; i < EVENTS; i++)
        assert_int_equal(scene->present[i], 1);
    scene->outbox = gwc_outbox_close(scene->outbox);
}

static int letter_count(void *user, const struct gwc_dead_letter *letter)
{
    assert_int_equal(letter->sequence, 4);
    ++*(size_t *)user;
    return 0;
}

/* What the cursor has passed is noted, or was delivered. */
static void progress_check(struct scene *scene)
{
    struct gwc_dead_letters *letters = NULL;
    uint64_t cursor = 0;
    size_t retries = 0, dead = 0, watchers = 0;
    char **names = NULL;

    assert_int_equal(gwc_outbox_watchers(scene->outbox, &names, &watchers), 0);
    for (size_t i = 0; i < watchers; i++)
        free(names[i]);
    free(names);
    if (watchers == 0)
        return; /* killed before it was known */
    assert_int_equal(watcher_open(scene, &cursor, &retries), 0);
    struct gw_reason reason = {0};
    if (gwc_dead_letters_open(&letters, scene->directory, &reason) != 0)
        fail_msg("%s (%s)", reason.text, gw_fault_trace());
    assert_int_equal(gwc_dead_letters_each(letters, NULL, 0, letter_count, &dead), 0);
    gwc_dead_letters_close(letters);
    assert_true(retries == 1 || cursor < 3);
    assert_true(dead == 1 || cursor < 4);
}

static bool fault_try(enum kind kind, long n, bool no_fsync)
{
    struct scene *scene = __real_calloc(1, sizeof(*scene));

    scene_open(scene, no_fsync);
    parcels_make(scene, -1);
    fault_arm(kind, n, false);
    act(scene);
    bool fired = fault_disarm();

    outbox_must(scene);
    progress_check(scene);
    events_read(scene);
    for (size_t i = 0; i < EVENTS; i++)
        assert_int_equal(scene->present[i], 1);
    scene_close(scene);
    free(scene);
    return fired;
}

static long sweep(enum kind kind, bool no_fsync, long stride)
{
    long n = 1, count = 0;
    while (fault_try(kind, n, no_fsync)) {
        n += stride;
        count++;
        assert_true(n < SWEEP_MAX);
    }
    return count;
}

static void every_failing_open_is_survived(void **state)
{
    (void)state;
    long count = sweep(FAULT_OPEN, false, 1);
    print_message("%ld opens failed\n", count);
    assert_true(count >= 10);
}

static void every_failing_write_is_survived(void **state)
{
    (void)state;
    long count = sweep(FAULT_WRITE, false, 1);
    print_message("%ld writes failed\n", count);
    assert_true(count >= 60);
}

static void every_failing_sync_is_survived(void **state)
{
    (void)state;
    long count = sweep(FAULT_SYNC, false, 1);
    print_message("%ld syncs failed\n", count);
    assert_true(count >= 15);
}

static void every_failing_truncation_is_survived(void **state)
{
    (void)state;
    long count = sweep(FAULT_TRUNCATE, false, 1);
    print_message("%ld truncations failed\n", count);
    assert_true(count >= 1);
}

/* Thousands: every one of them with OUTBOX_SWEEP=1, otherwise some, other ones each time. */
static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    bool all = getenv("OUTBOX_SWEEP") != NULL;
    long stride = all ? 1 : 17 + (long)(gw_random_u64() % 8);
    long count = sweep(FAULT_MEMORY, true, stride);
    print_message("%ld allocations failed (every %ldth)\n", count, stride);
    assert_true(count * stride >= 1000);
}

static void a_disk_that_is_full_for_a_while_holds_events_and_says_so(void **state)
{
    struct scene *scene = __real_calloc(1, sizeof(*scene));
    static const struct {
        enum kind kind;
        const char *words;
    } troubles[] = {{FAULT_WRITE, "disk is full"}, {FAULT_SYNC, "disk I/O error"}};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(troubles); i++) {
        scene_open(scene, false);
        outbox_must(scene);
        parcels_make(scene, -1);
        fault_arm(troubles[i].kind, 1, false);
        fault_lasts = true;
        for (size_t parcel = 0; parcel < PARCELS; parcel++)
            parcel_send(scene, &scene->parcels[parcel]);
        wait_for(scene, &scene->pressed, NULL);
        if (strstr(scene->words, troubles[i].words) == NULL)
            fail_msg("%s", scene->words);
        for (size_t parcel = 0; parcel < PARCELS; parcel++)
            assert_int_equal(scene->parcels[parcel].answer, 0);
        fault_disarm();
        wait_for(scene, &scene->relieved, NULL);
        for (size_t parcel = 0; parcel < PARCELS; parcel++)
            wait_for(scene, NULL, &scene->parcels[parcel].answer);
        assert_int_equal(present_check(scene), PARCELS);
        scene_close(scene);
    }
    free(scene);
}

static void wait_for_number(struct scene *scene, const char *sql, int wanted)
{
    int64_t until_ms = gw_clock_monotonic_ms() + WAIT_MS;
    int number;
    while ((number = file_number(scene->directory, sql)) != wanted) {
        if (gw_clock_monotonic_ms() > until_ms)
            fail_msg("%s: still %d", sql, number);
        usleep(5000);
    }
}

static void parcel_enlarge(struct parcel *parcel)
{
    static const char data[2 * FAULT_ROOM];
    const struct gw_event_fields fields = {.id = gw_view_text("large"),
                                           .source = gw_view_text("urn:shop"),
                                           .type = gw_view_text("t"),
                                           .data = gw_view(data, sizeof(data))};
    gw_event_unref(parcel->events[0]);
    parcel->events[0] = gw_event_new(&fields);
}

static void a_delivery_makes_room_on_a_full_disk(void **state)
{
    struct scene *scene = __real_calloc(1, sizeof(*scene));
    struct parcel *last = &scene->parcels[PARCELS - 1];
    uint64_t cursor = 0;
    size_t retries = 0;

    (void)state;
    scene_open(scene, false);
    outbox_must(scene);
    assert_int_equal(watcher_open(scene, &cursor, &retries), 0);
    parcels_make(scene, -1);
    parcel_enlarge(last);
    for (struct parcel *parcel = scene->parcels; parcel < last; parcel++) {
        parcel_send(scene, parcel);
        wait_for(scene, NULL, &parcel->answer);
    }
    fault_lasts = true;
    fault_arm(FAULT_LARGE, 1, false);
    parcel_send(scene, last);
    wait_for(scene, &scene->pressed, NULL);

    struct gwc_progress retry = {.outcome = GWC_RETRY, .sequence = 3, .attempts = 1, .reason = "HTTP 503"};
    assert_true(gwc_outbox_progress(scene->outbox, "w", &retry));
    gwc_outbox_cursor(scene->outbox, "w", EVENTS - PARCEL_EVENTS);
    wait_for_number(scene, "SELECT cursor FROM cursors", EVENTS - PARCEL_EVENTS);
    wait_for_number(scene, "SELECT count(*) FROM retries", 1);
    wait_for_number(scene, "SELECT count(*) FROM events", 1);
    assert_int_equal(last->answer, 0);

    fault_disarm();
    wait_for(scene, NULL, &last->answer);
    assert_int_equal(last->answer, 1);
    wait_for(scene, &scene->relieved, NULL);
    scene_close(scene);
    free(scene);
}

/* ---- killed ---- */

static void child_main(struct scene *scene, long n, int pipe)
{
    uint64_t cursor = 0;
    size_t retries = 0;

    /* A loop of its own: the parent's shares its descriptors. */
    if (gw_loop_open(&scene->loop) != 0)
        _exit(2);
    scene->options.loop = scene->loop;
    parcels_make(scene, pipe);
    fault_arm(FAULT_ANY_FILE, n, true);
    scene->options.epoch = shared;
    if (gwc_outbox_open(&scene->outbox, &scene->options, NULL, NULL) != 0)
        _exit(3);
    if (watcher_open(scene, &cursor, &retries) != 0)
        _exit(4);
    for (size_t i = 0; i < PARCELS; i++) {
        parcel_send(scene, &scene->parcels[i]);
        if (i % 2 == 1)
            wait_for(scene, NULL, &scene->parcels[i].answer);
    }
    progress_tell(scene);
    if (watcher_open(scene, &cursor, &retries) != 0)
        _exit(5);
    syscall(SYS_write, pipe, "P", 1); /* progress, too, is on disk */
    gwc_outbox_close(scene->outbox);
    _exit(0);
}

static void killed_check(struct scene *scene, const bool *acknowledged)
{
    scene->options.epoch = shared; /* that of the child: the next one is asked for */
    outbox_must(scene);
    progress_check(scene);
    int reached = present_check(scene);
    for (int i = 0; i < PARCELS; i++)
        assert_true(!acknowledged[i] || i < reached);
    /* The source sends all of it again. */
    parcels_make(scene, -1);
    parcels_send_all(scene);
    assert_int_equal(present_check(scene), PARCELS);
}

/* False: it came to its end without being killed. */
static bool kill_try(long n)
{
    struct scene *scene = __real_calloc(1, sizeof(*scene));
    bool acknowledged[PARCELS] = {false}, progress = false;
    int ends[2], status = 0;
    unsigned char number;

    scene_open(scene, false);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_main(scene, n, ends[1]);
    close(ends[1]);
    while (read(ends[0], &number, 1) == 1) {
        if (number == 'P')
            progress = true;
        else
            acknowledged[number] = true;
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status);
    assert_true(killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    killed_check(scene, acknowledged);
    if (progress) {
        uint64_t cursor = 0;
        size_t retries = 0;
        assert_int_equal(watcher_open(scene, &cursor, &retries), 0);
        assert_int_equal(cursor, EVENTS);
        assert_int_equal(retries, 1);
    }
    scene_close(scene);
    free(scene);
    return killed;
}

static void what_was_acknowledged_survives_a_kill_at_every_write(void **state)
{
    long n = 1;
    (void)state;
    while (kill_try(n))
        assert_true(++n < SWEEP_MAX);
    print_message("killed at %ld places\n", n - 1);
    assert_true(n > 80);
}

/* A test that failed half-way leaves nothing armed for the next. */
static int disarm(void **state)
{
    (void)state;
    fault_disarm();
    shared = false;
    return 0;
}

static int share(void **state)
{
    (void)state;
    shared = true;
    return 0;
}

/* One of the two is enough where all of them take minutes. */
static int share_or_not(void **state)
{
    (void)state;
    shared = gw_random_u64() % 2 == 0;
    return 0;
}

#define ALONE(name) cmocka_unit_test_teardown(name, disarm)
#define SHARED(name)                                                                                         \
    {                                                                                                        \
#name " (shared)", name, share, disarm, NULL                                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(what_was_acknowledged_survives_a_kill_at_every_write),
        SHARED(what_was_acknowledged_survives_a_kill_at_every_write),
        ALONE(a_disk_that_is_full_for_a_while_holds_events_and_says_so),
        ALONE(a_delivery_makes_room_on_a_full_disk),
        ALONE(every_failing_open_is_survived),
        SHARED(every_failing_open_is_survived),
        ALONE(every_failing_write_is_survived),
        SHARED(every_failing_write_is_survived),
        ALONE(every_failing_sync_is_survived),
        SHARED(every_failing_sync_is_survived),
        ALONE(every_failing_truncation_is_survived),
        cmocka_unit_test_setup_teardown(every_failing_allocation_is_survived, share_or_not, disarm),
    };
    return cmocka_run_group_tests_name("outbox_faults", tests, shims_install, NULL);
}
