/* Load in short slices, two kinds of requests by turns, for serve_overhead.py:
 *
 *     slices PORT CONNECTIONS SLICE_MS PAIRS WORKER_PID A.bin B.bin
 *
 * A file holds requests as they go over the wire, each behind its length (uint32, the machine's order). All connections are kept; each
 * has one request under way. A slice ends when no further request begins and all answers are there, so that nothing of it falls
 * into the next. Prints a line a slice: kind (0 or 1), answers, seconds, and the worker's processor seconds, which come from
 * /proc/PID/task/…/schedstat. The kinds go 0 1, 1 0, 0 1, …; the first pair is not printed.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, MAX_ANSWER = 65536 };

typedef struct requests {
    char **text;
    uint32_t *len;
    size_t n, next;
} requests;

typedef struct client {
    int fd;
    size_t have;
    char answer[MAX_ANSWER];
} client;

static void die(const char *what) {
    fprintf(stderr, "slices: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of all threads of a process. */
static double cpu_seconds(const char *pid) {
    char path[300];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        die(path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (f != NULL && fscanf(f, "%llu", &ns) == 1)
            sum += (double)ns * 1e-9;
        if (f != NULL)
            fclose(f);
    }
    closedir(d);
    return sum;
}

static requests read_requests(const char *path) {
    requests r = {0};
    uint32_t len;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    while (fread(&len, sizeof len, 1, f) == 1) {
        r.text = realloc(r.text, (r.n + 1) * sizeof *r.text);
        r.len = realloc(r.len, (r.n + 1) * sizeof *r.len);
        if (r.text == NULL || r.len == NULL || (r.text[r.n] = malloc(len + 1)) == NULL ||
            fread(r.text[r.n], 1, len, f) != len)
            die(path);
        r.len[r.n++] = len;
    }
    fclose(f);
    if (r.n == 0)
        die("no request");
    return r;
}

static void connect_to(client *c, int port, int epoll) {
    const int one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("connecting");
}

static void ask(client *c, requests *r) {
    const size_t k = r->next++ % r->n;
    c->have = 0;
    if (send(c->fd, r->text[k], r->len[k], 0) != (ssize_t)r->len[k])
        die("sending");
}

/* Is the answer complete? Anything but a 200 ends the program. */
static bool is_whole(client *c) {
    c->answer[c->have] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *length = strcasestr(c->answer, "content-length:");
    if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end) {
        fprintf(stderr, "slices: the answer is\n%s\n", c->answer);
        exit(1);
    }
    return c->have >= (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10);
}

static bool take(client *c) {
    const ssize_t n = recv(c->fd, c->answer + c->have, sizeof c->answer - 1 - c->have, 0);
    if (n <= 0)
        die("the service has closed a connection");
    c->have += (size_t)n;
    return is_whole(c);
}

static long slice(client *clients, int n, int epoll, requests *r, double seconds) {
    struct epoll_event events[MAX_CONNECTIONS];
    const double until = now() + seconds;
    long answers = 0;
    int open = n;
    for (int i = 0; i < n; i++)
        ask(&clients[i], r);
    while (open > 0) {
        const int got = epoll_wait(epoll, events, MAX_CONNECTIONS, 10000);
        if (got <= 0)
            die("no answer within 10 s");
        const bool over = now() >= until;
        for (int i = 0; i < got; i++) {
            client *c = events[i].data.ptr;
            if (!take(c))
                continue;
            answers++;
            if (over)
                open--;
            else
                ask(c, r);
        }
    }
    return answers;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fputs("usage: slices PORT CONNECTIONS SLICE_MS PAIRS WORKER_PID A.bin B.bin\n", stderr);
        return 2;
    }
    const int n = atoi(argv[2]), pairs = atoi(argv[4]), epoll = epoll_create1(0);
    const double seconds = atof(argv[3]) / 1000;
    requests kinds[2] = {read_requests(argv[6]), read_requests(argv[7])};
    client *clients = n > 0 && n <= MAX_CONNECTIONS ? calloc((size_t)n, sizeof *clients) : NULL;
    if (clients == NULL || epoll < 0)
        die("starting");
    for (int i = 0; i < n; i++)
        connect_to(&clients[i], atoi(argv[1]), epoll);
    for (int pair = 0; pair <= pairs; pair++)
        for (int k = 0; k < 2; k++) {
            const int kind = (pair + k) % 2;
            const double cpu = cpu_seconds(argv[5]), begin = now();
            const long answers = slice(clients, n, epoll, &kinds[kind], seconds);
            if (pair > 0)
                printf("%d %ld %.9f %.9f\n", kind, answers, now() - begin,
                       cpu_seconds(argv[5]) - cpu);
        }
    return 0;
}
