/* This process as the kernel sees it: proc(5) and getrusage(2). */
#include "common/process.h"

#include "common/clock.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The first bytes of a small file of proc as text; "" when it cannot be read. */
static void proc_read(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t count = 0;

    if (file != NULL) {
        count = fread(text, 1, size - 1, file);
        fclose(file);
    }
    text[count] = '\0';
}

static double resident_bytes(void)
{
    char text[256];
    unsigned long long pages;

    proc_read("/proc/self/statm", text, sizeof(text));
    if (sscanf(text, "%*u %llu", &pages) != 1)
        return NAN;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = 0;

    if (directory == NULL)
        return NAN;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* without the one that reads the directory */
}

static double max_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return NAN;
    return limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return NAN;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void gw_process_read(struct gw_process *ret_process)
{
    *ret_process = (struct gw_process){
        .cpu_seconds = cpu_seconds(),
        .resident_bytes = resident_bytes(),
        .open_files = open_files(),
        .max_files = max_files(),
    };
}

double gw_process_start_seconds(void)
{
    char text[1024];
    struct timespec boot;
    unsigned long long ticks;

    proc_read("/proc/self/stat", text, sizeof(text));
    /* The name in parentheses may hold blanks and parentheses: fields are counted from the last one. */
    const char *rest = strrchr(text, ')');
    if (rest == NULL || clock_gettime(CLOCK_BOOTTIME, &boot) != 0 ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return NAN;
    double age =
        (double)boot.tv_sec + (double)boot.tv_nsec / 1e9 - (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)gw_clock_realtime_ns() / 1e9 - age;
}
