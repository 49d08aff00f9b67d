/*
 * The `calico` and `calico-ipam` executables: hand the call (CNI_* variables and standard input) to the node's agent over
 * its unix socket and print what it answers. Nothing else is decided here, and no credential is held. When no agent
 * listens, the whole plugin is run in place of this process, its standard input untouched.
 *
 * What goes over the socket: src/domain/frame.ts.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/var/run/calico/cni.sock"
#define MAX_STDIN (1 << 20)
#define MAX_ANSWER (4 << 20)
#ifndef DEADLINE_MS
#define DEADLINE_MS 90000
#endif
#define CONNECT_EVERY_MS 20
#ifndef FULL_PLUGIN
#define FULL_PLUGIN ""
#endif

/* Codes of the CNI specification. */
enum { IO_FAILURE = 5, TRY_AGAIN = 11 };

static const char *const variables[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "FELIX_INTERFACEPREFIX"};

static char input[MAX_STDIN + 1];
static size_t input_length;
static char answer[MAX_ANSWER + 64];

/* The version the configuration asks for, so that the error object carries it; only digits and dots are taken over. */
static const char *wanted_version(void) {
  static char version[17];
  const char *at = strstr(input, "\"cniVersion\"");
  if (at != NULL) at = strchr(at + 12, ':');
  if (at != NULL) at += 1 + strspn(at + 1, " \t\r\n");
  if (at == NULL || *at != '"') return "1.0.0";
  size_t length = strspn(at + 1, "0123456789.");
  if (length == 0 || length >= sizeof version || at[1 + length] != '"') return "1.0.0";
  memcpy(version, at + 1, length);
  return version;
}

/* Print the specification's error object and end. `details` comes from here or from the environment, so it is escaped. */
static void fail(int code, const char *msg, const char *details) {
  printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s\",\"details\":\"", wanted_version(), code, msg);
  for (const unsigned char *c = (const unsigned char *)details; *c != 0; c++) {
    if (*c == '"' || *c == '\\') printf("\\%c", *c);
    else if (*c < 0x20 || *c >= 0x7f) printf("\\u%04x", *c);
    else putchar(*c);
  }
  printf("\"}\n");
  fflush(stdout);
  _exit(1);
}

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static long long deadline;

/* Wait until the descriptor is ready or the deadline is over. */
static void until(int fd, short events) {
  for (;;) {
    long long left = deadline - now_ms();
    if (left <= 0) fail(TRY_AGAIN, "the call took too long", "no answer from the CNI agent within its deadline");
    struct pollfd p = {fd, events, 0};
    int ready = poll(&p, 1, (int)left);
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail(IO_FAILURE, "poll failed", strerror(errno));
  }
}

static void send_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    until(fd, POLLOUT);
    ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) fail(TRY_AGAIN, "the CNI agent went away", strerror(errno));
    data += n;
    length -= (size_t)n;
  }
}

/* The request, sent as a whole: each send would wake the agent. */
static char *request;
static size_t request_length;

static void append(const char *data, size_t length) {
  request = realloc(request, request_length + length);
  if (request == NULL) fail(IO_FAILURE, "out of memory", "");
  memcpy(request + request_length, data, length);
  request_length += length;
}

static void append_field(const char *name, const char *value, size_t length) {
  char head[80];
  int n = snprintf(head, sizeof head, "%s %zu\n", name, length);
  append(head, (size_t)n);
  append(value, length);
  append("\n", 1);
}

/* Everything on standard input; a runtime that never closes it is cut off by the deadline. */
static void read_input(void) {
  for (;;) {
    until(STDIN_FILENO, POLLIN);
    ssize_t n = read(STDIN_FILENO, input + input_length, MAX_STDIN - input_length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(IO_FAILURE, "cannot read standard input", strerror(errno));
    if (n == 0) return;
    input_length += (size_t)n;
    if (input_length >= MAX_STDIN) fail(IO_FAILURE, "standard input is too long", "more than 1 MiB of configuration");
  }
}

/* A connected socket, or -1 if nobody listens. One that cannot take more now, since the agent is behind, is tried until the deadline. */
static int connect_agent(void) {
  const char *path = getenv("CALICO_CNI_SOCKET");
  if (path == NULL || *path == 0) path = DEFAULT_SOCKET;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(IO_FAILURE, "the path of the agent's socket is too long", path);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail(IO_FAILURE, "cannot make a socket", strerror(errno));
  while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    if (errno == EAGAIN) {
      if (now_ms() >= deadline) fail(TRY_AGAIN, "the call took too long", "the CNI agent took no call within its deadline");
      poll(NULL, 0, CONNECT_EVERY_MS);
    } else if (errno != EINTR) {
      close(fd);
      return -1;
    }
  }
  return fd;
}

/* Become the whole plugin: `calico.full` beside this file, else the one known at build time. */
static void run_full(const char *plugin, int argc, char **argv) {
  char self[PATH_MAX], beside[PATH_MAX + 16];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  beside[0] = 0;
  if (n > 0) {
    self[n] = 0;
    snprintf(beside, sizeof beside, "%s/calico.full", dirname(self));
  }
  const char *file = access(beside, X_OK) == 0 ? beside : FULL_PLUGIN;
  char *args[] = {(char *)file, (char *)plugin, argc > 1 ? argv[1] : NULL, NULL};
  execv(file, args);
  fail(TRY_AGAIN, "the CNI agent is not running, and the plugin cannot run without it", *file ? file : "calico.full is not beside the executable");
}

/* Whether the answer is whole; then its exit code and where its body begins. */
static int is_whole(size_t length, int *code, size_t *body_at) {
  size_t body = 0;
  int head = 0;
  answer[length] = 0;
  if (sscanf(answer, "%3d %8zu%n", code, &body, &head) < 2 || answer[head] != '\n') return 0;
  *body_at = (size_t)head + 1;
  return length == *body_at + body;
}

static void print_answer(int fd) {
  size_t length = 0, body_at = 0;
  int code = 0;
  while (!is_whole(length, &code, &body_at)) {
    until(fd, POLLIN);
    ssize_t n = recv(fd, answer + length, sizeof answer - 1 - length, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) fail(TRY_AGAIN, "the CNI agent went away", strerror(errno));
    if (n == 0) fail(TRY_AGAIN, "the CNI agent ended before it answered", "it may have been restarted; its log says more");
    length += (size_t)n;
    if (length >= sizeof answer - 1) fail(IO_FAILURE, "the CNI agent's answer is too long", "");
  }
  fwrite(answer + body_at, 1, length - body_at, stdout);
  fflush(stdout);
  _exit(code);
}

int main(int argc, char **argv) {
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash != NULL ? slash + 1 : argv[0];
  const char *plugin = strcmp(name, "calico-ipam") == 0 ? "calico-ipam" : "calico";
  deadline = now_ms() + DEADLINE_MS;
  int fd = argc > 1 ? -1 : connect_agent();
  if (fd < 0) run_full(plugin, argc, argv);
  read_input();
  append("calico-cni 1\n", 13);
  append_field("PLUGIN", plugin, strlen(plugin));
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
    const char *value = getenv(variables[i]);
    if (value != NULL) append_field(variables[i], value, strlen(value));
  }
  append_field("STDIN", input, input_length);
  append_field("END", "", 0);
  send_all(fd, request, request_length);
  print_answer(fd);
}
