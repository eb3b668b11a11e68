/* Who crashed: a child dies in a plugin, and its parent names plugin, function, step and file. */
#include "plugin_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const float matrix[8] = {1, 2, 3, 4, 5, 6, 7, 8}, target[4] = {1, 2, 3, 6};

static void *new_page(void) {
    void *page =
        mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    return page;
}

/* The child's work: a rogue with this fault, to the bitter end. */
static void run_child(void *page, const char *fault, bool handlers) {
    lathe_error err = {0};
    fixture f;
    static const char *const names[] = {"rogue", NULL};
    char use[64];
    void *context;
    float out[4];
    lathe_instance i;
    fixture_open_some(&f, 1, names);
    lathe_runtime_free(f.runtime);
    lathe_pool_free(f.pool);
    lathe_crumbs *crumbs = lathe_crumbs_attach(page, LATHE_CRUMBS_BYTES);
    if (handlers)
        lathe_crumbs_catch_signals(crumbs, &err);
    f.pool = lathe_pool_new_with(3, lathe_crumbs_thread_start, crumbs);
    lathe_runtime_options o = {.catalogue = f.catalogue, .pool = f.pool, .crumbs = crumbs};
    fixture_ok(lathe_runtime_new(&o, &f.runtime, &err), &err, "runtime");
    f.host = lathe_runtime_host(f.runtime);
    snprintf(use, sizeof use, "{\"rogue\": {\"fault\": \"%s\"}}", fault);
    lathe_dataset *data = fixture_dataset(&f, LATHE_TASK_REGRESSION, 0, 4, 2, matrix, target, NULL);
    fixture_create(&f, LATHE_KIND_LEARNER, use, LATHE_TASK_REGRESSION, &i);
    lathe_instance_set_scope(&i, "train/net");
    lathe_remove_tree(f.dir, NULL);
    lathe_open open = {.struct_size = sizeof open, .task = LATHE_TASK_REGRESSION, .data = data};
    lathe_fit fit = {.struct_size = sizeof fit};
    if (lathe_call_open(&i, &open, &context, &err) == LATHE_OK &&
        lathe_call_fit(&i, context, &fit, &err) == LATHE_OK)
        lathe_call_predict(&i, 4, matrix, 2, out, &err);
    _exit(7);
}

/* Runs a child and gives what its page tells; kill_ms > 0: kills it after that time. */
static int run(const char *fault, bool handlers, int kill_ms, lathe_crash *crash) {
    void *page = new_page();
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_child(page, fault, handlers);
    if (kill_ms > 0) {
        for (int k = 0; k < 200; k++) { /* until it is in fit, at most so many times the wait */
            usleep((useconds_t)kill_ms * 1000);
            if (lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, crash) &&
                strcmp(crash->function, "fit") == 0)
                break;
        }
        kill(pid, SIGKILL);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, crash));
    munmap(page, LATHE_CRUMBS_BYTES);
    return status;
}

START_TEST(crash_in_fit) {
    lathe_crash crash;
    char text[1200];
    int status = run("crash_fit", true, 0, &crash);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_int_eq(crash.signal, SIGSEGV);
    ck_assert_uint_eq(crash.address, 16);
    ck_assert_uint_ne(crash.pc, 0);
    ck_assert_str_eq(crash.plugin, "org.test.rogue");
    ck_assert_str_eq(crash.function, "fit");
    ck_assert_str_eq(crash.step, "train/net");
    ck_assert_ptr_nonnull(strstr(crash.file, "rogue.so")); /* by the program counter */
    lathe_crash_text(&crash, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text,
                                 "plugin org.test.rogue crashed in fit() (segmentation fault at "
                                 "address 0x10, in the code of "));
    ck_assert_ptr_nonnull(strstr(text, "during train/net"));
}
END_TEST

START_TEST(crash_in_predict) {
    lathe_crash crash;
    int status = run("crash_predict", true, 0, &crash);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_str_eq(crash.function, "predict");
    ck_assert_str_eq(crash.plugin, "org.test.rogue");
}
END_TEST

/* On whatever thread of the pool it happens. */
START_TEST(crash_in_thread) {
    lathe_crash crash;
    int status = run("crash_thread", true, 0, &crash);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_str_eq(crash.plugin, "org.test.rogue");
    ck_assert_str_eq(crash.function, "parallel_for");
    ck_assert_str_eq(crash.step, "train/net");
}
END_TEST

/* No handler runs at SIGKILL: the busy slots tell. */
START_TEST(killed_while_hanging) {
    lathe_crash crash;
    char text[1200];
    int status = run("hang_fit", true, 20, &crash);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(crash.signal, 0);
    ck_assert_str_eq(crash.plugin, "org.test.rogue");
    ck_assert_str_eq(crash.function, "fit");
    ck_assert_ptr_nonnull(strstr(crash.running, "org.test.rogue fit train/net"));
    lathe_crash_text(&crash, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "ended without a trace"));
}
END_TEST

START_TEST(exits) {
    lathe_crash crash;
    int status = run("exit_fit", true, 0, &crash);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    ck_assert_str_eq(crash.plugin, "org.test.rogue");
    ck_assert_str_eq(crash.function, "fit");
}
END_TEST

START_TEST(good_end) {
    lathe_crash crash;
    int status = run("none", true, 0, &crash);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    ck_assert_int_eq(crash.signal, 0);
    ck_assert_str_eq(crash.plugin, ""); /* nothing is running */
    ck_assert_str_eq(crash.running, "");
}
END_TEST

/* Whatever stands in the page, reading is safe and what comes out is printable. */
START_TEST(rubbish) {
    unsigned char *page = new_page();
    lathe_crash crash;
    char text[300];
    ck_assert(!lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash));
    ck_assert(!lathe_crumbs_read(page, 100, &crash));
    ck_assert(!lathe_crumbs_read(NULL, LATHE_CRUMBS_BYTES, &crash));
    ck_assert_ptr_null(lathe_crumbs_attach(page, 100));
    ck_assert_ptr_nonnull(lathe_crumbs_attach(page, LATHE_CRUMBS_BYTES));
    uint64_t seed = 1;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 8; i < LATHE_CRUMBS_BYTES; i += 1 + round % 13) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            page[i] = round % 3 == 0 ? 0xFF : (unsigned char)(seed >> 56);
        }
        ck_assert(lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash));
        lathe_crash_text(&crash, text, sizeof text);
        for (const char *p = text; *p != '\0'; p++)
            ck_assert((unsigned char)*p >= 0x20);
        ck_assert_uint_lt(strlen(text), sizeof text);
    }
    munmap(page, LATHE_CRUMBS_BYTES);
}
END_TEST

START_TEST(nesting) {
    void *page = new_page();
    lathe_crumbs *c = lathe_crumbs_attach(page, LATHE_CRUMBS_BYTES);
    int32_t a = lathe_crumbs_plugin(c, "org.test.a"), b = lathe_crumbs_plugin(c, "org.test.b");
    ck_assert_int_eq(lathe_crumbs_plugin(c, "org.test.a"), a);
    lathe_crumb outer = {a, "fit", "outer"}, inner = {b, "predict", NULL};
    lathe_crumb_saved s1, s2;
    lathe_crash crash;
    lathe_crumbs_enter(c, &outer, &s1);
    lathe_crumbs_enter(c, &inner, &s2);
    ck_assert(lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash));
    ck_assert_str_eq(crash.plugin, "org.test.b");
    ck_assert_str_eq(crash.step, "outer"); /* kept */
    lathe_crumbs_leave(c, &s2);
    ck_assert(lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash));
    ck_assert_str_eq(crash.plugin, "org.test.a");
    ck_assert_str_eq(crash.function, "fit");
    lathe_crumbs_leave(c, &s1);
    ck_assert(lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash));
    ck_assert_str_eq(crash.plugin, "");
    for (int i = 0; i < 600; i++) { /* more than the page has room for */
        char id[32];
        snprintf(id, sizeof id, "org.test.p%d", i);
        int32_t n = lathe_crumbs_plugin(c, id);
        ck_assert(n >= -1 && n < 512);
    }
    for (int i = 0; i < 400; i++)
        lathe_crumbs_loaded(c, "/x.so", 1, 2);
    munmap(page, LATHE_CRUMBS_BYTES);
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_crumbs");
    TCase *t = tcase_create("crumbs");
    tcase_add_test(t, crash_in_fit);
    tcase_add_test(t, crash_in_predict);
    tcase_add_test(t, crash_in_thread);
    tcase_add_test(t, killed_while_hanging);
    tcase_add_test(t, exits);
    tcase_add_test(t, good_end);
    tcase_add_test(t, rubbish);
    tcase_add_test(t, nesting);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
