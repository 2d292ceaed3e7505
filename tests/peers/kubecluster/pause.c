/* What holds a Pod's namespaces: it waits to be ended, and buries processes that lost their parents. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_end(int signal)
{
    (void)signal;
    _exit(0);
}

static void on_child(int signal)
{
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGCHLD, on_child);
    for (;;)
        pause();
}
